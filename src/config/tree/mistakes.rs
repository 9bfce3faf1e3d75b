//! Finds every mistake of a document, not the first alone: what is wrong is taken out, and the rest is read again.

use serde::de::DeserializeOwned;

use super::{Error, Node, Value};

/// So many mistakes are told at most.
const MOST: usize = 100;

/// What could be read of a document.
pub(in crate::config) struct Reading<T> {
    /// Without what is wrong; `None` where too little is left.
    pub(in crate::config) read: Option<T>,
    /// What is wrong with words and types.
    pub(in crate::config) errors: Vec<Error>,
    /// What was taken out for it, as paths of keys: to miss that would be no other mistake.
    pub(in crate::config) gone: Vec<Vec<String>>,
}

impl Node {
    /// Replaces variables and reads the document. `stand_in` gives a value to a key that everything else needs.
    pub(in crate::config) fn read<T: DeserializeOwned>(
        &mut self,
        expand: &impl Fn(&str) -> Result<Option<String>, String>,
        stand_in: impl Fn(&str) -> Option<Node>,
    ) -> Reading<T> {
        let mut errors = Vec::new();
        self.expand(expand, &mut errors);
        let mut gone = Vec::new();
        for at in errors.iter().filter_map(|error| error.at) {
            self.take_out(at, false, &mut Vec::new(), &mut gone);
        }
        let mut read = None;
        while errors.len() < MOST && gone.len() < 10 * MOST {
            let error = match T::deserialize(&*self) {
                Ok(all) => {
                    read = Some(all);
                    break;
                }
                Err(error) => error,
            };
            let Some(at) = error.at else {
                errors.push(error);
                break;
            };
            let missing = error.message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
            let missing = missing.map(str::to_owned);
            let known = match &missing {
                // It was wrong, or is there under a name that was.
                Some(key) => {
                    let path = self.path(at);
                    let meant = format!("; did you mean `{key}`?");
                    gone.contains(&[&path[..], std::slice::from_ref(key)].concat())
                        || errors.iter().any(|error| error.message.ends_with(&meant))
                            && gone
                                .iter()
                                .any(|gone: &Vec<String>| gone.split_last().is_some_and(|(_, map)| *map == path))
                }
                None => errors.contains(&error),
            };
            if !known {
                errors.push(error);
            }
            let goes_on = match missing {
                // Nothing holds the document itself.
                Some(key) if at == (self.line, self.column) => self.stand_in(key, &stand_in, &mut gone),
                missing => self.take_out(at, missing.is_some(), &mut Vec::new(), &mut gone),
            };
            if !goes_on {
                break;
            }
        }
        Reading { read, errors, gone }
    }

    fn stand_in(&mut self, key: String, stand_in: &impl Fn(&str) -> Option<Node>, gone: &mut Vec<Vec<String>>) -> bool {
        let (line, column) = (self.line, self.column);
        match (&mut self.value, stand_in(&key)) {
            (Value::Map(members), Some(value)) => {
                gone.push(vec![key.clone()]);
                members.push((Node { value: Value::Text(key), line, column }, value));
                true
            }
            _ => false,
        }
    }

    /// The members below a node, each with its key.
    fn members(&self) -> Vec<(String, &Node)> {
        match &self.value {
            Value::Map(members) => members.iter().map(|(key, value)| (key.text(), value)).collect(),
            Value::List(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
            _ => Vec::new(),
        }
    }

    /// The keys that lead to the mapping at a place; none where it is the document or there is none.
    fn path(&self, at: (u64, u64)) -> Vec<String> {
        let below = self.members().into_iter().find_map(|(key, node)| {
            let is_it = (node.line, node.column) == at && matches!(node.value, Value::Map(_));
            let below = if is_it { Vec::new() } else { node.path(at) };
            (is_it || !below.is_empty()).then(|| [vec![key], below].concat())
        });
        below.unwrap_or_default()
    }

    /// Takes out what stands at a place: a mapping where `whole`, else the innermost member by its key or its value.
    fn take_out(&mut self, at: (u64, u64), whole: bool, path: &mut Vec<String>, gone: &mut Vec<Vec<String>>) -> bool {
        let is_it = |node: &Node| (node.line, node.column) == at && (!whole || matches!(node.value, Value::Map(_)));
        let found = match &mut self.value {
            Value::Map(members) => {
                for (key, value) in members.iter_mut() {
                    path.push(key.text());
                    if !(whole && is_it(value)) && value.take_out(at, whole, path, gone) {
                        return true;
                    }
                    path.pop();
                }
                let found = members.iter().position(|(key, value)| is_it(value) || !whole && is_it(key));
                found.map(|i| members.remove(i).0.text())
            }
            Value::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    path.push(i.to_string());
                    if !(whole && is_it(item)) && item.take_out(at, whole, path, gone) {
                        return true;
                    }
                    path.pop();
                }
                let found = items.iter().position(is_it);
                found.map(|i| {
                    items.remove(i);
                    i.to_string()
                })
            }
            _ => None,
        };
        let Some(key) = found else { return false };
        gone.push([&path[..], &[key]].concat());
        true
    }

    fn text(&self) -> String {
        match &self.value {
            Value::Text(text) | Value::Expanded(text) => text.clone(),
            other => format!("{other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct File {
        version: u8,
        #[serde(default)]
        list: Vec<Item>,
        #[serde(default)]
        on: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Item {
        name: String,
        #[serde(default)]
        size: u8,
    }

    fn places(text: &str) -> Vec<(u64, u64)> {
        let expand = |text: &str| match text.strip_prefix('$') {
            Some("unset") => Err("not set".to_owned()),
            Some(name) => Ok(Some(name.to_owned())),
            None => Ok(None),
        };
        let one = Node { value: Value::Uint(1), line: 1, column: 1 };
        let reading = Node::parse(text).unwrap().read::<File>(&expand, |key| (key == "version").then(|| one.clone()));
        assert!(reading.read.is_some(), "what is left can be read: {:?}", reading.errors);
        reading.errors.iter().map(|error| error.at.unwrap()).collect()
    }

    #[rstest]
    #[case::none("version: 1\n", &[])]
    #[case::keys_and_types("version: 1\nonn: true\non: 5\nlist: 7\n", &[(2, 1), (3, 5), (4, 7)])]
    #[case::within_a_list("version: 1\nlist:\n  - { name: a, size: big }\n  - { nam: b }\n  - name: c\n    sizes: 1\n", &[(3, 22), (4, 7), (6, 5)])]
    #[case::what_is_wrong_is_not_missing("version: many\non: 5\n", &[(1, 10), (2, 5)])]
    #[case::missing("on: 5\nlist:\n  - size: 300\n", &[(1, 5), (3, 11), (3, 5), (1, 1)])]
    #[case::variables("version: $unset\non: $unset\nlist: [{ name: a, size: $7, sice: 1 }]\n", &[(1, 10), (2, 5), (3, 29)])]
    #[case::the_same_twice("version: 1\nlist: [{ x: 1, name: a }, { x: 1, name: b }]\n", &[(2, 10), (2, 29)])]
    fn every_mistake_is_found_and_none_twice(#[case] text: &str, #[case] expected: &[(u64, u64)]) {
        let mut found = places(text);
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
