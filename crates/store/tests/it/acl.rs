//! Access control: what is unique, what is refused, what goes with what.

use model::Token;
use model::acl::{ANONYMOUS, AclPolicy, AclToken, AuthMethod, BindingRule, Link, MANAGEMENT_POLICY_ID};
use store::{Store, TokenRequest, Topic};

use super::store;

const NOW: u64 = 1_000_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

async fn with_acl() -> Store {
    let store = store().await;
    store.initialise_acl(NOW).await.unwrap();
    store
}

fn policy(name: &str) -> AclPolicy {
    AclPolicy { name: name.to_owned(), ..AclPolicy::default() }
}

fn lasting(ttl: i64) -> TokenRequest {
    TokenRequest { ttl, ..TokenRequest::default() }
}

#[tokio::test]
async fn the_first_administrator_is_made_once_and_again_with_the_reset_index() {
    let store = with_acl().await;
    assert!(store.state().acl_token_by_secret(ANONYMOUS).is_some());
    let token = store.bootstrap_acl(None, 0, NOW).await.unwrap();
    assert!(token.is_management());
    let error = store.bootstrap_acl(None, 0, NOW).await.unwrap_err().to_string();
    let index = store.state().acl_bootstrapped();
    assert_eq!(error, format!("Permission denied: ACL bootstrap no longer allowed (reset index: {index})"));
    let again = store.bootstrap_acl(None, index, NOW).await.unwrap();
    assert_ne!(again.secret_id, token.secret_id);
}

#[tokio::test]
async fn of_many_writers_of_one_name_one_wins() {
    let store = with_acl().await;
    let writers: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn({
                let store = store.clone();
                async move { store.put_policy(policy("same")).await.is_ok() }
            })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        won += usize::from(writer.await.unwrap());
    }
    assert_eq!(won, 1);
    assert_eq!(store.state().acl_policies().filter(|policy| policy.name == "same").count(), 1);
}

#[tokio::test]
async fn links_follow_names_and_forget_what_is_gone() {
    let store = with_acl().await;
    let written = store.put_policy(policy("kv")).await.unwrap();
    let links = vec![Link { name: "kv".to_owned(), ..Link::default() }];
    let request = TokenRequest { token: AclToken { policies: links, ..AclToken::default() }, ..Default::default() };
    let token = store.create_token(request, NOW).await.unwrap();
    assert_eq!(token.policies[0].id, written.id);
    store.put_policy(AclPolicy { name: "renamed".to_owned(), ..AclPolicy::clone(&written) }).await.unwrap();
    assert_eq!(store.state().acl_token(&token.accessor_id).unwrap().policies[0].name, "renamed");
    store.delete_policy(&written.id).await.unwrap();
    assert!(store.state().acl_token(&token.accessor_id).unwrap().policies.is_empty());
    let error = store.delete_policy(MANAGEMENT_POLICY_ID).await.unwrap_err().to_string();
    assert_eq!(error, "Delete operation not permitted on the builtin global-management policy");
}

#[tokio::test]
async fn tokens_end_in_time_and_not_at_odd_times() {
    let store = with_acl().await;
    for (ttl, error) in [
        (SECOND, "ExpirationTime cannot be less than 1m0s in the future (was 1s)"),
        (25 * 3600 * SECOND, "ExpirationTime cannot be more than 24h0m0s in the future (was 25h0m0s)"),
        (-3600 * SECOND, "Token Expiration TTL '-1h0m0s' should be > 0"),
    ] {
        assert_eq!(store.create_token(lasting(ttl), NOW).await.unwrap_err().to_string(), error);
    }
    let token = store.create_token(lasting(3600 * SECOND), NOW).await.unwrap();
    let end = token.expires.unwrap();
    assert_eq!(store.reap_tokens(end - 1).await.unwrap(), 0);
    assert_eq!(store.reap_tokens(end).await.unwrap(), 1);
    assert!(store.state().acl_token_by_secret(&token.secret_id.0).is_none());
}

#[tokio::test]
async fn a_way_to_log_in_takes_its_rules_and_tokens_along() {
    let store = with_acl().await;
    let method = AuthMethod { name: "jwt".to_owned(), kind: "jwt".to_owned(), ..AuthMethod::default() };
    store.put_auth_method(method.clone()).await.unwrap();
    let changed = AuthMethod { kind: "kubernetes".to_owned(), ..method };
    let error = store.put_auth_method(changed).await.unwrap_err().to_string();
    assert_eq!(error, "the Type field of an Auth Method is immutable");
    let rule = BindingRule { auth_method: "jwt".to_owned(), ..BindingRule::default() };
    store.put_binding_rule(rule).await.unwrap();
    let token = AclToken { auth_method: "jwt".to_owned(), ..AclToken::default() };
    let outside = TokenRequest { token, ..TokenRequest::default() };
    let error = store.create_token(outside.clone(), NOW).await.unwrap_err().to_string();
    assert_eq!(error, "AuthMethod field is disallowed outside of Login");
    store.create_token(TokenRequest { login: true, ..outside }, NOW).await.unwrap();
    let before = store.state().index_of(&[Topic::AclTokens]);
    store.delete_auth_method("jwt").await.unwrap();
    let state = store.state();
    assert_eq!(state.binding_rules().count(), 0);
    assert_eq!(state.acl_tokens().count(), 1);
    assert!(state.index_of(&[Topic::AclTokens]) > before);
}

#[tokio::test]
async fn a_printed_state_shows_no_secret() {
    let store = with_acl().await;
    let secret = Token("11111111-2222-3333-4444-555555555555".to_owned());
    store.bootstrap_acl(Some(secret.clone()), 0, NOW).await.unwrap();
    let state = store.state();
    let token = state.acl_token_by_secret(&secret.0).unwrap();
    assert!(!format!("{state:?}{token:?}").contains(&secret.0));
}
