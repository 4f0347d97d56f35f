//! Requests that become byte streams on their way through a proxy, such as `kubectl exec`.

use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// Joins both ends once a server has agreed to switch protocols: who asked, and who answered. Other responses stay as
/// they are.
pub fn join_upgrades<B>(asked: OnUpgrade, response: &mut Response<B>) {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    join(asked, hyper::upgrade::on(response));
}

/// Joins both ends of a stream, once both are there.
pub(crate) fn join(asked: OnUpgrade, answered: OnUpgrade) {
    tokio::spawn(async move {
        let (Ok(here), Ok(there)) = tokio::join!(asked, answered) else { return };
        // Either end may go at any time; that is how such streams end.
        let _ = copy_bidirectional(&mut TokioIo::new(here), &mut TokioIo::new(there)).await;
    });
}
