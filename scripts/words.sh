#!/usr/bin/env bash
# Refuses words that the project does not use any more in what the programs say: messages to clients, errors, log lines. The words
# are in scripts/words.txt, each with the plain one. Names of settings are counted: scripts/words-settings.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

# Texts of more than one word, on one line, in code that runs in production: without tests, comments and what is filled in. A single word
# is a name, such as that of a metric.
texts() {
  git ls-files 'src/*.rs' 'filters/*.rs' 'backend/src/*.rs' | grep -v -e '/tests' -e 'simulation' | while read -r file; do
    awk -v file="$file" '
      /^mod tests \{/ { exit }
      /^[ \t]*\/\// { next }
      {
        rest = $0
        gsub(/\\"/, "", rest)
        while (match(rest, /"[^"]*"/)) {
          text = substr(rest, RSTART, RLENGTH)
          rest = substr(rest, RSTART + RLENGTH)
          gsub(/[{][^}]*[}]/, "", text)
          if (text ~ / /) print file ":" FNR ": " text
        }
      }
    ' "$file"
  done
}

all=$(texts) found=''
while IFS=$'\t' read -r word plain; do
  case $word in '' | '#'*) continue ;; esac
  hits=$(grep -iE "\"[^\"]*\\b($word)\\b[^\"]*\"" <<<"$all" || true)
  [ -z "$hits" ] && continue
  found+="$word: say $plain"$'\n'"$hits"$'\n'
done <scripts/words.txt
if [ -n "$found" ]; then
  printf 'words.sh: words that the project does not use any more\n%s' "$found" >&2
  exit 1
fi

while IFS=$'\t' read -r name plain most; do
  case $name in '' | '#'*) continue ;; esac
  number=$(grep -cE "^\| \`([^\`]*\.)?$name\`" docs/configuration.md || true)
  if [ "$number" -gt "$most" ]; then
    echo "words.sh: $number settings are called $name, $most were: call the new one $plain" >&2
    exit 1
  elif [ "$number" -lt "$most" ]; then
    echo "words.sh: $number settings are called $name now: put $number in place of $most into scripts/words-settings.txt" >&2
    exit 1
  fi
done <scripts/words-settings.txt
