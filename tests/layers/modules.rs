//! The modules of crates: what they define, import and name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// One crate.
pub(crate) struct Crate {
    /// As other crates name it.
    pub name: &'static str,
    /// Its root file.
    pub root: &'static str,
}

/// One module: a file, or a part of one in braces.
#[derive(Default)]
pub(crate) struct Module {
    file: String,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// All other paths in its code.
    pub paths: Vec<Vec<String>>,
}

/// One name brought into a module.
pub(crate) struct Import {
    name: String,
    /// Where the name comes from.
    pub path: Vec<String>,
    /// All names of `path`.
    pub glob: bool,
    /// Other modules can see it here.
    pub exported: bool,
}

/// What a path leads to.
#[derive(Clone, Copy)]
pub(crate) enum Found {
    /// A module.
    Module(usize),
    /// An item that this module defines.
    Item(usize),
}

impl Found {
    /// The module itself, or the one of the item.
    pub(crate) fn module(self) -> usize {
        match self {
            Found::Module(module) | Found::Item(module) => module,
        }
    }

    /// It is no item.
    pub(crate) fn is_module(self) -> bool {
        matches!(self, Found::Module(_))
    }
}

/// All modules of some crates.
pub(crate) struct Modules {
    all: Vec<Module>,
    crates: BTreeMap<String, usize>,
}

impl Modules {
    /// Reads crates; `text` gives a file's text, if there is such a file.
    pub(crate) fn read(crates: &[Crate], text: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut modules = Self { all: Vec::new(), crates: BTreeMap::new() };
        for Crate { name, root } in crates {
            let at = modules.file_module(None, Path::new(root), text)?;
            modules.crates.insert((*name).to_owned(), at);
        }
        Ok(modules)
    }

    fn file_module(
        &mut self,
        parent: Option<usize>,
        path: &Path,
        text: &dyn Fn(&str) -> Option<String>,
    ) -> Result<usize, String> {
        let file = path.display().to_string();
        let source = text(&file).ok_or_else(|| format!("{file}: no such file"))?;
        let parsed = syn::parse_file(&source).map_err(|error| format!("{file}: {error}"))?;
        let stem = path.with_extension("");
        let is_root = parent.is_none() || stem.ends_with("mod");
        let dir = if is_root { path.parent().map(Path::to_owned).unwrap_or_default() } else { stem };
        self.module(parent, &file, &dir, &parsed.items, text)
    }

    fn module(
        &mut self,
        parent: Option<usize>,
        file: &str,
        dir: &Path,
        items: &[syn::Item],
        text: &dyn Fn(&str) -> Option<String>,
    ) -> Result<usize, String> {
        let at = self.all.len();
        self.all.push(Module { file: file.to_owned(), parent, ..Module::default() });
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            if let Some(name) = defined(item) {
                self.all[at].items.insert(name);
            }
            let syn::Item::Mod(module) = item else {
                Reader(&mut self.all[at]).visit_item(item);
                continue;
            };
            let name = module.ident.to_string();
            let below = dir.join(&name);
            let child = match &module.content {
                Some((_, items)) => self.module(Some(at), file, &below, items, text)?,
                None => {
                    let beside = below.with_extension("rs");
                    let is_beside = text(&beside.display().to_string()).is_some();
                    let path: PathBuf = if is_beside { beside } else { below.join("mod.rs") };
                    self.file_module(Some(at), &path, text)?
                }
            };
            self.all[at].children.insert(name, child);
        }
        Ok(at)
    }

    /// All, with their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Module)> {
        self.all.iter().enumerate()
    }

    /// All files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|module| module.file.as_str())
    }

    /// The file of a module.
    pub(crate) fn file(&self, module: usize) -> &str {
        &self.all[module].file
    }

    /// Whether a module is another's child, or its child's, and so on.
    pub(crate) fn is_below(&self, module: usize, other: usize) -> bool {
        self.all[module].parent.is_some_and(|parent| parent == other || self.is_below(parent, other))
    }

    /// What a path leads to in a module; `None` outside of these crates.
    pub(crate) fn find(&self, at: usize, path: &[String]) -> Option<Found> {
        self.follow(at, path, 0)
    }

    fn follow(&self, at: usize, path: &[String], depth: usize) -> Option<Found> {
        let (first, rest) = path.split_first()?;
        let mut found = match first.as_str() {
            "crate" => Found::Module(self.root(at)),
            "self" => Found::Module(at),
            "super" => Found::Module(self.all[at].parent?),
            name => match self.name(at, name, depth) {
                Some(found) => found,
                None => Found::Module(*self.crates.get(name)?),
            },
        };
        for name in rest {
            let Found::Module(module) = found else { break };
            found = match name.as_str() {
                "self" => found,
                "super" => Found::Module(self.all[module].parent?),
                name => self.name(module, name, depth)?,
            };
        }
        Some(found)
    }

    fn root(&self, at: usize) -> usize {
        self.all[at].parent.map_or(at, |parent| self.root(parent))
    }

    /// What a name means in a module.
    fn name(&self, at: usize, name: &str, depth: usize) -> Option<Found> {
        // Globs that import each other would be followed for ever.
        if depth > 16 {
            return None;
        }
        let module = &self.all[at];
        if let Some(&child) = module.children.get(name) {
            return Some(Found::Module(child));
        }
        if module.items.contains(name) {
            return Some(Found::Item(at));
        }
        let named = module.imports.iter().filter(|import| !import.glob && import.name == name);
        let named =
            named.filter(|import| import.path.first().is_some_and(|first| first != name || import.path.len() > 1));
        if let Some(found) = named.into_iter().find_map(|import| self.follow(at, &import.path, depth + 1)) {
            return Some(found);
        }
        let globs = module.imports.iter().filter(|import| import.glob);
        globs.into_iter().find_map(|import| match self.follow(at, &import.path, depth + 1)? {
            Found::Module(from) if from != at => self.name(from, name, depth + 1),
            _ => None,
        })
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let is_test = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    };
    attributes.iter().any(is_test)
}

fn defined(item: &syn::Item) -> Option<String> {
    let ident = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Collects imports and paths.
struct Reader<'a>(&'a mut Module);

impl Reader<'_> {
    fn import(&mut self, tree: &syn::UseTree, path: &mut Vec<String>, exported: bool) {
        let mut add =
            |name: String, path: Vec<String>, glob| self.0.imports.push(Import { name, path, glob, exported });
        match tree {
            syn::UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.import(&part.tree, path, exported);
                path.pop();
            }
            syn::UseTree::Name(part) if part.ident == "self" => {
                add(path.last().cloned().unwrap_or_default(), path.clone(), false)
            }
            syn::UseTree::Name(part) => add(part.ident.to_string(), with(path, &part.ident), false),
            syn::UseTree::Rename(part) if part.ident == "self" => add(part.rename.to_string(), path.clone(), false),
            syn::UseTree::Rename(part) => add(part.rename.to_string(), with(path, &part.ident), false),
            syn::UseTree::Glob(_) => add(String::new(), path.clone(), true),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, path, exported)),
        }
    }

    /// The paths in a macro's input, which is nothing but tokens.
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut after_dot = false;
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                proc_macro2::TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.0.paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                    }
                    if !after_dot {
                        path.push(ident.to_string());
                    }
                    colons = 0;
                    after_dot = false;
                }
                other => {
                    self.0.paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                    colons = 0;
                    after_dot = matches!(&other, proc_macro2::TokenTree::Punct(punct) if punct.as_char() == '.');
                    if let proc_macro2::TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.0.paths.extend((!path.is_empty()).then_some(path));
    }
}

fn with(path: &[String], last: &syn::Ident) -> Vec<String> {
    path.iter().cloned().chain([last.to_string()]).collect()
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            syn::visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let exported = !matches!(item.vis, syn::Visibility::Inherited);
        if item.leading_colon.is_none() {
            self.import(&item.tree, &mut Vec::new(), exported);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.0.paths.push(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    /// Derives and documentation are not this file's code.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}
