// Runs the public HTTP cache suite against a base URL and scores it by the suite's own rule: a test counts only if the
// tests it depends on pass. Usage: node run.mjs SUITE_FOLDER BASE_URL RESULTS_FILE FLOOR_FILE [TEST_ID]
// Knows both editions: the one on npm, and the current one of the suite's repository, whose engine has a folder of its own.
import fs from 'fs'
import path from 'path'
import { createRequire } from 'module'
import { pathToFileURL } from 'url'

const [suite, base, resultsFile, floorFile, only] = process.argv.slice(2)
const load = file => import(new URL(file, pathToFileURL(`${path.resolve(suite)}/`)))
const isCurrent = fs.existsSync(path.resolve(suite, 'test-engine'))
const client = isCurrent ? 'test-engine/client' : 'client'
const { testResults } = await load(`${client}/test.mjs`)
const suites = (await load('tests/index.mjs')).default

const tests = new Map()
for (const { tests: list } of suites) for (const test of list) if (!test.browser_only) tests.set(test.id, test)
const kindOf = test => test.kind ?? 'required'

function passes (results, id) {
  const test = tests.get(id)
  return results[id] === true && (test?.depends_on ?? []).every(needed => passes(results, needed))
}

function score (results) {
  const counts = { required: 0, optimal: 0, check: 0 }
  for (const [id, test] of tests) if (passes(results, id)) counts[kindOf(test)]++
  return counts
}

const chosen = only
  ? suites.map(one => ({ ...one, tests: one.tests.filter(test => test.id === only).map(test => ({ ...test, dump: true })) }))
  : suites
// A runner remembers what it has run, so each run has one of its own.
async function run (list, number) {
  const { runTests } = await load(`${client}/runner.mjs?${number}`)
  if (isCurrent) await runTests(list, false, base)
  else await runTests(list, createRequire(path.resolve(suite, 'package.json'))('node-fetch'), false, base)
  return { ...testResults }
}
let results = await run(chosen, 1)
// The suite sleeps for real and runs many tests at once: what fails on a busy machine has a second try, and that is said.
const failed = only ? [] : Object.keys(results).filter(id => results[id] !== true)
for (const id of failed) delete testResults[id]
if (failed.length > 0) results = await run([{ ...suites[0], tests: failed.map(id => tests.get(id)) }], 2)
const late = failed.filter(id => results[id] === true)
if (late.length > 0) console.log(`passed the second time: ${late.join(', ')}`)
if (only) {
  console.log(only, results[only])
  process.exit(results[only] === true ? 0 : 1)
}
fs.writeFileSync(resultsFile, JSON.stringify(results, Object.keys(results).sort(), 2) + '\n')

const totals = { required: 0, optimal: 0, check: 0 }
for (const test of tests.values()) totals[kindOf(test)]++
const row = (name, counts) => console.log(
  name.padEnd(34) + ['required', 'optimal', 'check'].map(kind => String(counts[kind]).padStart(10)).join(''))
row('', { required: 'required', optimal: 'optimal', check: 'check' })
row('tests', totals)
const ours = score(results)
row('addrgate', ours)
for (const { file, name, version, type } of (await load('results/index.mjs')).default) {
  if (type === 'browser') continue
  row(`${name} ${version}`, score(JSON.parse(fs.readFileSync(path.resolve(suite, 'results', file)))))
}
for (const kind of ['required', 'optimal']) {
  const missed = [...tests.values()].filter(test => kindOf(test) === kind && !passes(results, test.id))
  if (missed.length > 0) console.log(`\n${kind}, not passed:`)
  for (const test of missed) {
    const reason = results[test.id] === true ? 'a test it depends on' : results[test.id]?.[1] ?? 'not run'
    console.log(`  ${test.id}: ${reason}`)
  }
}
const floor = JSON.parse(fs.readFileSync(floorFile))[isCurrent ? 'current' : 'npm']
const below = Object.keys(floor).filter(kind => ours[kind] < floor[kind])
for (const kind of below) console.error(`\n${kind}: ${ours[kind]} is below the floor of ${floor[kind]}`)
process.exit(below.length > 0 ? 1 : 0)
