//! The tables an import merges into, and the statements that are the same for each of them.

/// A served table. Its staged rows are in `new_NAME`, with `rank`, `file`, `line` and `problem` besides its columns.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [&'static str],
    /// The columns that aren't the key.
    pub(crate) rest: &'static [&'static str],
}

/// In the order in which rows are added; removed in the opposite one.
pub(crate) const TABLES: &[Table] = &[
    Table { name: "locality", key: &["pid"], rest: &["source", "name", "state", "class", "point"] },
    Table { name: "locality_alias", key: &["pid"], rest: &["source", "locality_pid", "name", "kind"] },
    Table { name: "locality_neighbour", key: &["locality_pid", "neighbour_pid"], rest: &["source"] },
    Table {
        name: "street",
        key: &["pid"],
        rest: &["source", "locality_pid", "name", "type", "suffix", "class", "point"],
    },
    Table { name: "street_alias", key: &["pid"], rest: &["source", "street_pid", "name", "type", "suffix", "kind"] },
    Table {
        name: "address",
        key: &["pid"],
        rest: &[
            "source",
            "building_name",
            "lot_number",
            "flat_type",
            "flat_number",
            "level_type",
            "level_number",
            "number_first",
            "number_last",
            "street_pid",
            "locality_pid",
            "postcode",
            "private_street",
            "location_description",
            "legal_parcel_id",
            "confidence",
            "is_alias",
            "primary_secondary",
            "mesh_block",
            "geocode_type",
            "reliability",
            "point",
        ],
    },
    Table { name: "address_alias", key: &["principal_pid", "alias_pid"], rest: &["kind", "source"] },
    Table { name: "address_secondary", key: &["primary_pid", "secondary_pid"], rest: &["source"] },
    Table { name: "mesh_block", key: &["code"], rest: &["source", "category", "sa1"] },
    Table {
        name: "area",
        key: &["level", "code"],
        rest: &["source", "name", "state", "gccsa", "postcode", "edition", "vertices", "digest"],
    },
    Table {
        name: "address_area",
        key: &["address_pid"],
        rest: &["source", "lga_name", "ward_name", "state_electorate", "commonwealth_electorate"],
    },
];

impl Table {
    /// `a.key = b.key` for each key column.
    fn same(&self, a: &str, b: &str) -> String {
        self.key.iter().map(|column| format!("{a}.{column} = {b}.{column}")).collect::<Vec<_>>().join(" AND ")
    }

    fn listed(columns: &[&str], of: &str) -> String {
        columns.iter().map(|column| format!("{of}.{column}")).collect::<Vec<_>>().join(", ")
    }

    fn key_text(&self, of: &str) -> String {
        self.key.iter().map(|column| format!("{of}.{column}")).collect::<Vec<_>>().join(" || ' ' || ")
    }

    /// Whether the source's rank decides who holds a key; areas and mesh blocks go by detail instead.
    pub(crate) fn ranked(&self) -> bool {
        !matches!(self.name, "area" | "mesh_block")
    }

    /// Moves all but one of the staged rows of one key to the problems: the usable, the official, the first.
    pub(crate) fn unique(&self) -> String {
        let Self { name, .. } = self;
        let (keys, key_text) = (self.key.join(", "), self.key_text("g"));
        format!(
            "WITH many AS (SELECT {keys} FROM new_{name} GROUP BY {keys} HAVING count(*) > 1),
             ranked AS (SELECT n.ctid AS at, row_number() OVER (PARTITION BY {listed}
                          ORDER BY n.problem IS NOT NULL, n.rank, n.source, n.line) AS nth
                        FROM new_{name} n JOIN many USING ({keys})),
             gone AS (DELETE FROM new_{name} n USING ranked r WHERE n.ctid = r.at AND r.nth > 1 RETURNING n.*)
             INSERT INTO problem (source, file, line, key, reason)
             SELECT g.source, g.file, g.line, {key_text}, coalesce(g.problem, 'given twice') FROM gone g",
            listed = Self::listed(self.key, "n"),
        )
    }

    /// Marks staged rows whose key a source of the same or a better rank holds that isn't part of this import.
    pub(crate) fn held(&self) -> String {
        let Self { name, .. } = self;
        format!(
            "UPDATE new_{name} n SET problem = 'held by ' || o.source FROM public.{name} o
             WHERE {same} AND n.problem IS NULL AND o.source <> n.source AND source_rank(o.source) <= n.rank
               AND o.source NOT IN (SELECT source FROM new_source)",
            same = self.same("o", "n"),
        )
    }

    /// Moves the staged rows that can't be used to the problems.
    pub(crate) fn set_apart(&self) -> String {
        let Self { name, .. } = self;
        let key_text = self.key_text("n");
        format!(
            "INSERT INTO problem (source, file, line, key, reason)
             SELECT n.source, n.file, n.line, {key_text}, n.problem FROM new_{name} n WHERE n.problem IS NOT NULL"
        )
    }

    /// Fills `changed_NAME`: the key, what happens to it (`new`, `changed` or `gone`), and to whose row.
    pub(crate) fn compare(&self) -> String {
        let Self { name, key, rest } = self;
        let (new_keys, old_keys, same) = (Self::listed(key, "n"), Self::listed(key, "o"), self.same("n", "o"));
        let (new_rest, old_rest) = (Self::listed(rest, "n"), Self::listed(rest, "o"));
        let first = key.first().copied().unwrap_or_default();
        format!(
            "CREATE UNLOGGED TABLE changed_{name} AS
             SELECT {new_keys}, CASE WHEN o.{first} IS NULL THEN 'new' ELSE 'changed' END AS kind, n.source
             FROM new_{name} n LEFT JOIN public.{name} o ON {same}
             WHERE n.problem IS NULL AND (o.{first} IS NULL OR ROW({new_rest}) IS DISTINCT FROM ROW({old_rest}))
             UNION ALL
             SELECT {old_keys}, 'gone', o.source FROM public.{name} o
             WHERE o.source IN (SELECT source FROM new_source)
               AND NOT EXISTS (SELECT FROM new_{name} n WHERE n.problem IS NULL AND {same})"
        )
    }

    /// Deletes what is gone.
    pub(crate) fn remove(&self) -> String {
        let Self { name, .. } = self;
        let same = self.same("o", "c");
        format!("DELETE FROM public.{name} o USING changed_{name} c WHERE c.kind = 'gone' AND {same}")
    }

    /// Updates what has changed.
    pub(crate) fn change(&self) -> String {
        let Self { name, rest, .. } = self;
        let set = rest.iter().map(|column| format!("{column} = n.{column}")).collect::<Vec<_>>().join(", ");
        format!(
            "UPDATE public.{name} o SET {set} FROM new_{name} n, changed_{name} c
             WHERE c.kind = 'changed' AND n.problem IS NULL AND {} AND {}",
            self.same("n", "c"),
            self.same("o", "n"),
        )
    }

    /// Inserts what is new.
    pub(crate) fn add(&self) -> String {
        let Self { name, key, rest } = self;
        let columns = [*key, *rest].concat();
        format!(
            "INSERT INTO public.{name} ({}) SELECT {} FROM new_{name} n JOIN changed_{name} c ON {}
             WHERE c.kind = 'new' AND n.problem IS NULL",
            columns.join(", "),
            Self::listed(&columns, "n"),
            self.same("n", "c"),
        )
    }
}
