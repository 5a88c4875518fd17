//! The claim in a real database.

use super::*;

async fn observed(login: &Login) -> Option<Claim> {
    match probe(login).await {
        PostgresView::Reachable(database) => database.claim,
        PostgresView::Unusable(problem) => panic!("{problem:?}"),
    }
}

fn taken(former: &Claim, namespace: &str, uid: &str) -> ClaimChange {
    let next = Claim { epoch: former.epoch + 1, ..first_claim(namespace, uid).next };
    ClaimChange { former: Some(former.clone()), next }
}

#[tokio::test]
async fn an_empty_database_is_claimed_taken_over_and_given_up() {
    let postgres = test_support::require_postgres!();
    let login = login(&postgres.fresh_database().await);
    let servers = Servers::default();
    assert_eq!(observed(&login).await, None);

    let first = first_claim("acme", "uid-1");
    assert_eq!(servers.claim(&login, &first).await, Ok(true));
    assert_eq!(observed(&login).await, Some(first.next.clone()));
    // The write whose answer was lost is not done twice.
    assert_eq!(servers.claim(&login, &first).await, Ok(false));

    let second = taken(&first.next, "beta", "uid-2");
    assert_eq!(servers.claim(&login, &second).await, Ok(true));
    assert_eq!(observed(&login).await, Some(second.next.clone()));
    // Decided on a row that is not there any more.
    assert_eq!(servers.claim(&login, &taken(&first.next, "gamma", "uid-3")).await, Ok(false));
    assert_eq!(observed(&login).await, Some(second.next.clone()));

    for (change, expected) in [(&first, false), (&second, true), (&second, false)] {
        let released = servers.release(&login, &change.next.identity, &change.next.uid).await;
        assert_eq!(released, Ok(expected));
    }
    let released = Claim { is_released: true, ..second.next };
    assert_eq!(observed(&login).await, Some(released.clone()));
    let third = taken(&released, "gamma", "uid-3");
    assert_eq!(servers.claim(&login, &third).await, Ok(true));
    assert_eq!(observed(&login).await, Some(third.next));
}

/// Two controllers, two Kubernetes clusters, one database: one of them wins, whichever made schema and table.
#[tokio::test]
async fn of_two_that_claim_at_the_same_time_one_wins() {
    let postgres = test_support::require_postgres!();
    for round in 0..10 {
        let login = login(&postgres.fresh_database().await);
        let (one, two) = (Servers::default(), Servers::default());
        let (first, second) = (first_claim("acme", "uid-1"), first_claim("beta", "uid-2"));
        let (won, lost) = tokio::join!(one.claim(&login, &first), two.claim(&login, &second));
        let mut outcomes = [won.unwrap(), lost.unwrap()];
        let winner = if outcomes[0] { &first } else { &second };
        assert_eq!(observed(&login).await, Some(winner.next.clone()), "round {round}");
        outcomes.sort_unstable();
        assert_eq!(outcomes, [false, true], "round {round}");

        let (first, second) = (taken(&winner.next, "gamma", "uid-3"), taken(&winner.next, "delta", "uid-4"));
        let (won, lost) = tokio::join!(one.claim(&login, &first), two.claim(&login, &second));
        let mut outcomes = [won.unwrap(), lost.unwrap()];
        let winner = if outcomes[0] { &first } else { &second };
        assert_eq!(observed(&login).await, Some(winner.next.clone()), "round {round}");
        outcomes.sort_unstable();
        assert_eq!(outcomes, [false, true], "round {round}");
    }
}

/// An engine that was there before its operator knew of claims: its role reads the claim, and cannot write it.
#[tokio::test]
async fn only_roles_that_may_use_the_schema_may_read_the_claim() {
    let postgres = test_support::require_postgres!();
    let database = postgres.fresh_database().await;
    let (app, stranger) = (format!("{}_app", database.name), format!("{}_stranger", database.name));
    run(
        &database,
        &format!(
            "CREATE ROLE \"{app}\" NOLOGIN;\nCREATE ROLE {stranger} NOLOGIN;\nCREATE SCHEMA workflow;\n\
             GRANT USAGE ON SCHEMA workflow TO \"{app}\";\n"
        ),
    )
    .await;
    let login = login(&database);
    assert_eq!(Servers::default().claim(&login, &first_claim("acme", "uid-1")).await, Ok(true));
    let mut connection = PgConnection::connect_with(&database.options()).await.unwrap();
    for (role, privilege, expected) in [
        (&app, "SELECT", true),
        (&app, "INSERT, UPDATE, DELETE, TRUNCATE", false),
        (&stranger, "SELECT, INSERT, UPDATE, DELETE, TRUNCATE", false),
    ] {
        let has: bool = sqlx::query_scalar("SELECT has_table_privilege($1, 'workflow.database_claim', $2)")
            .bind(role)
            .bind(privilege)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(has, expected, "{role} {privilege}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_keeps_its_claim_and_holds_nobody_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let login = Login {
        host: "127.0.0.1".into(),
        port: silent.local_addr().unwrap().port(),
        user: "u".into(),
        password: "p".into(),
        database: "d".into(),
        ssl_mode: SslMode::Prefer,
        ca_pem: None,
    };
    let began = Instant::now();
    let identity = first_claim("acme", "uid-1").next.identity;
    let problem = Servers::default().release(&login, &identity, "uid-1").await.unwrap_err();
    assert_eq!(problem.reason, Reason::PostgresUnreachable);
    assert!(began.elapsed() < CONNECT_TIMEOUT, "{:?}", began.elapsed());
}
