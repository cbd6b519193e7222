//! The requests of the clients, and the expected points of each.

use super::app::BODY_LIMIT;

/// A kind of request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) send: Send,
    pub(super) status: u16,
    pub(super) route: &'static str,
    /// Tag `error_code`; empty for a request that does not fail.
    pub(super) error_code: &'static str,
    /// Tags and fields of the handlers, as `key=value`, in the order of their names. Of a timing
    /// only its name.
    pub(super) extras: &'static str,
}

/// What is sent, besides head and headers, and how the answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Send {
    Nothing,
    Text(&'static str),
    /// This many bytes at once.
    Bytes(usize),
    /// More than is accepted. The server may close while the client still sends, so the client may
    /// not receive the answer.
    TooMuch(usize),
    /// This many pieces of 1 KiB, without a length.
    Pieces(usize),
    /// A WebSocket with this many messages.
    Socket(u32),
    /// Disconnects after the first piece of the answer.
    AndLeave,
    /// The filter leaves it out, so there is no point.
    Unseen,
}

const fn ask(method: &'static str, path: &'static str, status: u16, route: &'static str) -> Case {
    Case { method, path, headers: &[], send: Send::Nothing, status, route, error_code: "", extras: "" }
}

impl Case {
    const fn fails(self, error_code: &'static str) -> Self {
        Self { error_code, ..self }
    }

    const fn extras(self, extras: &'static str) -> Self {
        Self { extras, ..self }
    }

    const fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    const fn send(self, send: Send) -> Self {
        Self { send, ..self }
    }
}

const USER: &[(&str, &str)] = &[("authorization", "Bearer user")];
const ADMIN: &[(&str, &str)] = &[("authorization", "Bearer admin")];
const USER_JSON: &[(&str, &str)] = &[("authorization", "Bearer user"), ("content-type", "application/json")];
const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];
const FORM: &[(&str, &str)] = &[("content-type", "multipart/form-data; boundary=cut")];
const TWO_PARTS: &str = "--cut\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n12345\r\n\
                         --cut\r\ncontent-disposition: form-data; name=\"b\"; filename=\"b\"\r\n\r\n123\r\n--cut--\r\n";

pub(super) const CASES: &[Case] = &[
    // Pages, methods and redirects.
    ask("GET", "/", 200, "GET:/"),
    ask("HEAD", "/", 200, "HEAD:/"),
    ask("GET", "/version", 200, "GET:/version"),
    ask("HEAD", "/version", 200, "HEAD:/version"),
    ask("POST", "/version", 405, "POST:/version").fails("405"),
    ask("OPTIONS", "/version", 405, "OPTIONS:/version").fails("405"),
    ask("GET", "/moved", 307, "GET:/moved"),
    ask("GET", "/old/a/b/c", 308, "GET:/old/{*rest}"),
    ask("GET", "/cached", 200, "GET:/cached"),
    ask("GET", "/cached", 304, "GET:/cached").headers(&[("if-none-match", "\"1\"")]),
    ask("GET", "/any", 200, "GET:/any"),
    ask("TRACE", "/any", 200, "TRACE:/any"),
    ask("PURGE", "/any", 200, "OTHER:/any"),
    ask("GET", "/health", 200, "").send(Send::Unseen),
    ask("GET", "/nowhere", 404, "GET:unmatched").fails("no_such_page"),
    ask("GET", "/version/", 404, "GET:unmatched").fails("no_such_page"),
    ask("PROPFIND", "/wp-login.php", 404, "OTHER:unmatched").fails("no_such_page"),
    // Failures of the application.
    ask("GET", "/broken", 500, "GET:/broken").fails("database_away"),
    ask("GET", "/panic", 500, "GET:/panic").fails("panic"),
    ask("GET", "/slow", 504, "GET:/slow").fails("504"),
    // Behind the authentication.
    ask("GET", "/api/items", 401, "GET:/api/items").fails("4011"),
    ask("GET", "/api/items", 401, "GET:/api/items").headers(&[("authorization", "Bearer x")]).fails("4012"),
    ask("GET", "/api/items", 200, "GET:/api/items").headers(USER).extras("role=user"),
    ask("POST", "/api/items", 201, "POST:/api/items")
        .headers(USER_JSON)
        .send(Send::Text(r#"{"name":"a \"b\""}"#))
        .extras(r#"name=a "b" role=user"#),
    ask("POST", "/api/items", 422, "POST:/api/items")
        .headers(USER_JSON)
        .send(Send::Text("{}"))
        .fails("422")
        .extras("role=user"),
    ask("POST", "/api/items", 400, "POST:/api/items")
        .headers(USER_JSON)
        .send(Send::Text("{"))
        .fails("400")
        .extras("role=user"),
    ask("POST", "/api/items", 415, "POST:/api/items").headers(USER).fails("415").extras("role=user"),
    ask("GET", "/api/items/7", 200, "GET:/api/items/{id}").headers(USER).extras("item=7 load_time role=user"),
    ask("HEAD", "/api/items/7", 200, "HEAD:/api/items/{id}")
        .headers(USER)
        .extras("item=7 load_time role=user"),
    ask("GET", "/api/items/0", 404, "GET:/api/items/{id}")
        .headers(ADMIN)
        .fails("11009")
        .extras("item=0 load_time role=admin"),
    ask("GET", "/api/items/seven", 400, "GET:/api/items/{id}").headers(USER).fails("400").extras("role=user"),
    ask("PUT", "/api/items/7", 204, "PUT:/api/items/{id}")
        .headers(USER_JSON)
        .send(Send::Text(r#"{"name":"b"}"#))
        .extras("role=user"),
    ask("PATCH", "/api/items/7", 204, "PATCH:/api/items/{id}")
        .headers(USER_JSON)
        .send(Send::Text(r#"{"name":"b"}"#))
        .extras("role=user"),
    ask("DELETE", "/api/items/7", 204, "DELETE:/api/items/{id}").headers(USER).extras("role=user"),
    ask("GET", "/api/items/7/parts", 200, "GET:/api/items/{id}/parts").headers(USER).extras("role=user"),
    ask("GET", "/api/items/7/parts/a", 200, "GET:/api/items/{id}/parts/{part}")
        .headers(USER)
        .extras("role=user"),
    ask("GET", "/api/items/7/parts/none", 410, "GET:/api/items/{id}/parts/{part}")
        .headers(USER)
        .fails("part_is_gone")
        .extras("role=user"),
    ask("GET", "/api/orders/2", 200, "GET:/api/orders/{id}").headers(USER).extras("role=user"),
    ask("POST", "/api/orders/3", 409, "POST:/api/orders/{id}")
        .headers(USER)
        .fails("7003")
        .extras("role=user"),
    ask("GET", "/api/search?words=a%20b", 200, "GET:/api/search").headers(USER).extras("role=user"),
    ask("GET", "/api/search", 400, "GET:/api/search").headers(USER).fails("400").extras("role=user"),
    ask("GET", "/api/me", 200, "GET:/api/me").headers(USER).extras("role=user"),
    ask("GET", "/api/admin/users", 403, "GET:/api/admin/users")
        .headers(USER)
        .fails("4031")
        .extras("role=user"),
    ask("GET", "/api/admin/users", 200, "GET:/api/admin/users").headers(ADMIN).extras("role=admin"),
    ask("DELETE", "/api/admin/users/a", 202, "DELETE:/api/admin/users/{name}")
        .headers(ADMIN)
        .extras("role=admin"),
    ask("GET", "/api/nowhere", 404, "GET:unmatched").headers(USER).fails("no_such_page"),
    // Uploads.
    ask("POST", "/upload/whole", 200, "POST:/upload/whole")
        .send(Send::Bytes(BODY_LIMIT))
        .extras("received=65536"),
    ask("POST", "/upload/whole", 413, "POST:/upload/whole").send(Send::TooMuch(BODY_LIMIT + 1)).fails("413"),
    ask("POST", "/upload/whole", 413, "POST:/upload/whole").send(Send::TooMuch(1 << 20)).fails("413"),
    ask("PUT", "/upload/stream/a", 200, "PUT:/upload/stream/{name}")
        .send(Send::Pieces(300))
        .extras("received=307200"),
    ask("POST", "/upload/form", 200, "POST:/upload/form")
        .headers(FORM)
        .send(Send::Text(TWO_PARTS))
        .extras("parts=2 received=8"),
    ask("POST", "/upload/form", 400, "POST:/upload/form").headers(FORM).send(Send::Text("--cu")).fails("400"),
    ask("POST", "/upload/form", 400, "POST:/upload/form").fails("400"),
    // Bodies that are long, compressed, streamed or missing.
    ask("GET", "/report/2000", 200, "GET:/report/{lines}"),
    ask("GET", "/report/2000", 200, "GET:/report/{lines}").headers(GZIP),
    ask("HEAD", "/report/2000", 200, "HEAD:/report/{lines}").headers(GZIP),
    ask("GET", "/events/5", 200, "GET:/events/{count}"),
    ask("GET", "/ticks", 200, "GET:/ticks").send(Send::AndLeave),
    ask("GET", "/static/app.js", 200, "GET:/static/{*file}"),
    ask("HEAD", "/static/app.js", 200, "HEAD:/static/{*file}"),
    ask("GET", "/static/app.js", 206, "GET:/static/{*file}").headers(&[("range", "bytes=0-99")]),
    ask("GET", "/static/app.js", 416, "GET:/static/{*file}")
        .headers(&[("range", "bytes=99999-")])
        .fails("416"),
    ask("GET", "/static/none.js", 404, "GET:/static/{*file}").fails("404"),
    // WebSockets.
    ask("GET", "/socket/a", 101, "GET:/socket/{room}").send(Send::Socket(0)).extras("room=a"),
    ask("GET", "/socket/b", 101, "GET:/socket/{room}").send(Send::Socket(20)).extras("room=b"),
    ask("GET", "/socket/a", 400, "GET:/socket/{room}").fails("400"),
];
