//! How many rows each tenant has in each table, and their digests.

use backup_format::{Failure, OPERATOR_TABLES, RowDigest, Rows, VOLATILE_TABLES};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::database::{failed, quoted};

/// A table of the engine's schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct Table {
    /// Its name, without the schema.
    pub name: String,
    /// Each of its rows belongs to a tenant.
    pub has_tenants: bool,
}

impl Table {
    /// A backup has the table, but not its rows.
    pub fn is_volatile(&self) -> bool {
        VOLATILE_TABLES.contains(&self.name.as_str())
    }
}

/// The tables with rows of their own that a backup has, in order.
pub async fn observe_tables(connection: &mut PgConnection) -> Result<Vec<Table>, Failure> {
    sqlx::query_as(
        "SELECT c.relname::text AS name,
                EXISTS (SELECT FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS has_tenants
         FROM pg_class c
         WHERE c.relnamespace = to_regnamespace('workflow') AND c.relkind = 'r' AND c.relname <> ALL ($1)
         ORDER BY c.relname COLLATE \"C\"",
    )
    .bind(OPERATOR_TABLES.as_slice())
    .fetch_all(connection)
    .await
    .map_err(|error| failed("list the tables of the schema workflow", &error))
}

/// Counts and digests of these tables, as the session's transaction sees them. The session must see every row: see
/// [`crate::reading`].
pub async fn observe_rows(connection: &mut PgConnection, tables: &[Table]) -> Result<Vec<Rows>, Failure> {
    let mut all = Vec::new();
    for table in tables.iter().filter(|table| !table.is_volatile()) {
        let query = plan_query("workflow", table);
        let lines: Vec<(Option<String>, i64, String)> = sqlx::query_as(AssertSqlSafe(query))
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| failed(&format!("read the rows of table {}", table.name), &error))?;
        let empty = lines.iter().all(|(_, rows, _)| *rows == 0);
        if empty {
            all.push(Rows {
                table: table.name.clone(),
                tenant: None,
                rows: 0,
                digest: RowDigest::default().to_hex(),
            });
            continue;
        }
        all.extend(lines.into_iter().map(|(tenant, rows, digest)| Rows {
            table: table.name.clone(),
            tenant,
            rows: u64::try_from(rows).unwrap_or_default(),
            digest,
        }));
    }
    all.sort();
    Ok(all)
}

/// The statement that computes what [`RowDigest`] documents: of each row the first 8 bytes of the SHA-256 as a signed
/// number, their sum modulo 2^64. One pass over the table, nothing of it leaves the server.
fn plan_query(schema: &str, table: &Table) -> String {
    let name = format!("{}.{}", quoted(schema), quoted(&table.name));
    let number = "('x' || encode(substring(sha256(convert_to((counted.*)::text, 'UTF8')) FROM 1 FOR 8), 'hex'))::bit(64)::bigint";
    // `mod` has the sign of the sum, hence once more after adding the modulus.
    let digest = format!(
        "mod(mod(coalesce(sum({number}), 0), 18446744073709551616) + 18446744073709551616, 18446744073709551616)"
    );
    // Postgres writes no number above 2^63 in hexadecimal: high and low half apart.
    let hex = format!(
        "lpad(to_hex(div({digest}, 4294967296)::bigint), 8, '0') || lpad(to_hex(mod({digest}, 4294967296)::bigint), 8, '0')"
    );
    let (tenant, group) = if table.has_tenants {
        ("counted.tenant_id::text", " GROUP BY counted.tenant_id")
    } else {
        ("NULL::text", "")
    };
    format!("SELECT {tenant}, count(*), {hex} FROM ONLY {name} AS counted{group}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use sqlx::{Connection as _, Executor as _};

    use super::*;

    type Row = (String, i64, Option<String>);

    async fn digests(session: &mut PgConnection, rows: &[Row]) -> Vec<(Option<String>, i64, String)> {
        session.execute("TRUNCATE pg_temp.sample").await.expect("is emptied");
        for (tenant, key, text) in rows {
            sqlx::query("INSERT INTO pg_temp.sample VALUES ($1, $2, $3)")
                .bind(tenant)
                .bind(key)
                .bind(text)
                .execute(&mut *session)
                .await
                .expect("is inserted");
        }
        let table = Table { name: "sample".to_owned(), has_tenants: true };
        let mut lines: Vec<(Option<String>, i64, String)> =
            sqlx::query_as(AssertSqlSafe(plan_query("pg_temp", &table)))
                .fetch_all(session)
                .await
                .expect("is computed");
        lines.sort();
        lines
    }

    /// The same by [`RowDigest`], from the texts that Postgres gives.
    async fn by_hand(session: &mut PgConnection) -> Vec<(Option<String>, i64, String)> {
        let texts: Vec<(String, String)> =
            sqlx::query_as("SELECT tenant_id, (s.*)::text FROM pg_temp.sample AS s")
                .fetch_all(session)
                .await
                .expect("are read");
        let mut digests = std::collections::BTreeMap::<String, RowDigest>::new();
        for (tenant, text) in &texts {
            digests.entry(tenant.clone()).or_default().add(text);
        }
        digests
            .into_iter()
            .map(|(tenant, digest)| (Some(tenant), i64::try_from(digest.rows).expect("few"), digest.to_hex()))
            .collect()
    }

    fn row() -> impl Strategy<Value = Row> {
        ("[abc]", any::<i64>(), proptest::option::of("[^\0]{0,12}"))
    }

    /// On a real server, since the statement is what counts: the digest is the documented one, does not depend on the
    /// order, and sees a row that was lost, doubled, changed or given to another tenant.
    #[tokio::test(flavor = "multi_thread")]
    async fn the_statement_computes_the_documented_digest() {
        let postgres = test_support::require_postgres!();
        let database = postgres.fresh_database().await;
        let mut session = PgConnection::connect_with(&database.options()).await.expect("connects");
        session
            .execute("CREATE TEMPORARY TABLE sample (tenant_id text, key bigint, text text)")
            .await
            .expect("is made");
        let session = tokio::sync::Mutex::new(session);
        let rows = proptest::collection::vec(row(), 1..12);
        let mut runner =
            TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
        let handle = tokio::runtime::Handle::current();
        let result = runner.run(&(rows, any::<prop::sample::Index>()), |(rows, at)| {
            tokio::task::block_in_place(|| {
                handle.block_on(async {
                    let mut session = session.lock().await;
                    let at = at.index(rows.len());
                    let whole = digests(&mut session, &rows).await;
                    prop_assert_eq!(&whole, &by_hand(&mut session).await);
                    let mut reversed = rows.clone();
                    reversed.reverse();
                    prop_assert_eq!(&digests(&mut session, &reversed).await, &whole);
                    let mut lost = rows.clone();
                    lost.remove(at);
                    prop_assert_ne!(&digests(&mut session, &lost).await, &whole);
                    let mut doubled = rows.clone();
                    doubled.push(rows[at].clone());
                    prop_assert_ne!(&digests(&mut session, &doubled).await, &whole);
                    let mut changed = rows.clone();
                    changed[at].1 ^= 1;
                    prop_assert_ne!(&digests(&mut session, &changed).await, &whole);
                    let mut moved = rows.clone();
                    moved[at].0.push('x');
                    prop_assert_ne!(&digests(&mut session, &moved).await, &whole);
                    Ok(())
                })
            })
        });
        result.expect("holds for all rows");
    }
}
