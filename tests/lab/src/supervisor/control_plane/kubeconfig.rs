//! The text of kubeconfig files.

use serde_json::{Value, json};

/// How a client shows who it is.
pub(super) enum Credential<'a> {
    /// By a certificate and its key, in these files.
    Certificate(&'a str, &'a str),
    /// By the token in this file, which is read again and again.
    TokenFile(&'a str),
}

/// A kubeconfig for the API server at `server`, whose certificate the file `authority` vouches for.
pub(super) fn text(server: &str, authority: &str, credential: &Credential<'_>) -> String {
    let user: Value = match credential {
        Credential::Certificate(certificate, key) => {
            json!({"client-certificate": certificate, "client-key": key})
        }
        Credential::TokenFile(file) => json!({"tokenFile": file}),
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{
            "name": "lab", "cluster": {"server": server, "certificate-authority": authority},
        }],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    });
    // JSON is YAML.
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_in_use_joins_cluster_and_user() {
        let text = text("https://192.0.2.1:6443", "/pki/ca.crt", &Credential::TokenFile("/token"));
        let config: Value = serde_json::from_str(&text).expect("kubeconfig is JSON");
        assert_eq!(config["current-context"], config["contexts"][0]["name"]);
        assert_eq!(config["contexts"][0]["context"]["cluster"], config["clusters"][0]["name"]);
        assert_eq!(config["contexts"][0]["context"]["user"], config["users"][0]["name"]);
        assert_eq!(config["users"][0]["user"]["tokenFile"], "/token");
    }
}
