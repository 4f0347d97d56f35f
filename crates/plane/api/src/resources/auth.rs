//! Sign-in, sessions, and who one is.

use jiff::Timestamp;
use plane_client::v1;
use plane_model::{PLANE, Password, Tenant, User, claim, of_tenant};

use crate::{
    call::Call,
    reply::{Answer, ApiError, Reply},
    route::{
        Access::{Anyone, SignedIn},
        Route, route,
    },
    session::Session,
    token::Token,
};

pub fn routes() -> Vec<Route> {
    vec![
        route!(POST "/v1/auth/authenticate", Anyone, "Signs in by password.", sign_in, takes v1::Login, 200: v1::UserToken),
        route!(GET "/v1/auth/refresh/{token}", Anyone, "Makes a session last longer.", refresh, 200: v1::UserToken),
        route!(PUT "/v1/auth/session", SignedIn, "Makes the caller's session last longer, in the cookie; for browsers. An extension.", prolong, 200: v1::Session),
        route!(DELETE "/v1/auth/session", SignedIn, "Takes the cookie back. An extension.", sign_out, 204),
        route!(GET "/v1/users/info", SignedIn, "Who one is.", info, 200: v1::UserInfo),
    ]
}

async fn sign_in(call: Call) -> Answer {
    let wrong = || ApiError {
        message: "no user has this e-mail address and password".to_owned(),
        ..ApiError::unauthorized()
    };
    let login: v1::Login = call.json()?;
    let owner = call.state.store.holder(PLANE, claim::EMAIL, &login.email_id.trim().to_lowercase());
    let found = owner.as_deref().and_then(of_tenant);
    let user = found.and_then(|(tenant, uid)| call.state.store.get::<User>(tenant, uid));
    let password = user.and_then(|user| user.value.password.clone());
    let place = call.state.hashing.clone().acquire_owned().await;
    let is = tokio::task::spawn_blocking(move || {
        let _place = place;
        password.map_or_else(
            || {
                Password::is_not(&login.password);
                false
            },
            |password| password.is(&login.password),
        )
    });
    let is = is.await.unwrap_or(false);
    let (tenant, uid) = found.filter(|_| is).ok_or_else(wrong)?;
    tracing::info!(user = uid, tenant, "signed in");
    answer(&call, &Session::begin(tenant, uid, Timestamp::now()))
}

async fn refresh(call: Call) -> Answer {
    let now = Timestamp::now();
    let session = Session::read(call.capture(0), &call.state.session_key, now);
    let session = session.and_then(|session| session.refreshed(now)).ok_or_else(ApiError::unauthorized)?;
    // Whose user is gone meanwhile.
    call.state.store.get::<User>(&session.tenant, &session.sub).ok_or_else(ApiError::unauthorized)?;
    answer(&call, &session)
}

async fn prolong(call: Call) -> Answer {
    let session = call.caller()?.session.as_ref();
    let session = session.ok_or_else(|| ApiError::bad("an API key has no session: sign in by password"))?;
    let longer = session.refreshed(Timestamp::now()).ok_or_else(ApiError::unauthorized)?;
    let token = longer.token(&call.state.session_key).ok_or_else(ApiError::unauthorized)?;
    let until = Timestamp::from_second(longer.exp).map_err(|_| ApiError::unauthorized())?;
    match Reply::of(&v1::Session { until })? {
        Reply::Json(body) => Ok(Reply::SignedIn(body, token)),
        reply => Ok(reply),
    }
}

async fn sign_out(_: Call) -> Answer {
    Ok(Reply::SignedOut)
}

fn answer(call: &Call, session: &Session) -> Answer {
    let token = session.token(&call.state.session_key).ok_or_else(ApiError::unauthorized)?;
    let body = v1::UserToken { authorization: token.clone(), is_mfa: false };
    match (Reply::of(&body)?, call.query("setCookie")) {
        (Reply::Json(body), Some("true")) => Ok(Reply::SignedIn(body, token)),
        (reply, _) => Ok(reply),
    }
}

async fn info(call: Call) -> Answer {
    let caller = call.caller()?;
    let tenant = call.state.store.get::<Tenant>(PLANE, &caller.tenant);
    Reply::of(&v1::UserInfo {
        org_name: tenant.map(|tenant| tenant.value.meta.name.clone()).unwrap_or_default(),
        tenant_uid: caller.tenant.clone(),
        user_uid: caller.user.clone(),
    })
}
