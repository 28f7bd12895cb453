//! A request in, an answer out: who asks, whether they may, what is done. Nothing here knows connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    apply::Writer,
    collect::{self, DeleteOptions},
    discovery,
    failure::Failure,
    faults::Faults,
    json::{list, name, text, texts},
    patch::{PatchKind, patched},
    questions,
    rbac::{Attributes, Record, User, authorize},
    request::{Request, Target},
    resources::Resource,
    selectors::Selector,
    state::State,
    tokens::Signer,
    views::{kept, listed, shown},
    watching::{self, Scope, Watch},
    write::{self, Place},
};

/// What a request is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    Json(u16, Value),
    Text(u16, &'static str),
    Watch(Box<Watch>, Option<Duration>),
}

/// The server without its sockets.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) state: Mutex<State>,
    pub(crate) record: Mutex<Record>,
    pub(crate) enforce: AtomicBool,
    pub(crate) faults: Faults,
    pub(crate) signer: Signer,
    /// The revision, for those who wait for changes.
    pub(crate) changed: watch::Sender<u64>,
}

impl Api {
    pub(crate) fn new(signer: Signer) -> Self {
        Self {
            state: Mutex::new(State::new()),
            record: Mutex::new(Record::default()),
            enforce: AtomicBool::new(false),
            faults: Faults::default(),
            signer,
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn answer(&self, request: &Request) -> Result<Answer, Failure> {
        if let Some(answer) = self.special(request) {
            return answer;
        }
        self.faults.meet(request)?;
        let user = self.user(request)?;
        let target = Target::parse(&request.path).ok_or_else(Failure::unknown_path)?;
        if let Some(answer) = questions::answer(self, &user, &target, request) {
            return answer;
        }
        let resource = self
            .state
            .lock()
            .registry
            .get(&target.group, &target.version, &target.plural)
            .ok_or_else(Failure::unknown_path)?;
        Call {
            api: self,
            request,
            user,
            target,
            resource: &resource,
        }
        .run()
    }

    /// Paths that anybody may ask, and this server's own.
    fn special(&self, request: &Request) -> Option<Result<Answer, Failure>> {
        let body = match request.path.trim_end_matches('/') {
            "/healthz" | "/livez" | "/readyz" => return Some(Ok(Answer::Text(200, "ok"))),
            "/.well-known/openid-configuration" => self.signer.discovery(),
            "/openid/v1/jwks" => self.signer.keys(),
            path => match path.strip_prefix("/_fake/") {
                Some(command) => return Some(self.command(command, request)),
                None if request.method == Method::GET => {
                    discovery::answer(&self.state.lock().registry, path)?
                }
                None => return None,
            },
        };
        Some(Ok(Answer::Json(200, body)))
    }

    /// What tests tell the server: see the README.
    fn command(&self, command: &str, request: &Request) -> Result<Answer, Failure> {
        match command {
            "asked" => return Ok(Answer::Json(200, self.record.lock().to_json())),
            "forget-asked" => self.record.lock().clear(),
            "rbac" => self
                .enforce
                .store(request.query.is_true("enforce"), Ordering::Relaxed),
            "compact" => self.compact(),
            "disconnect" => self.faults.disconnect(),
            "fail" => self.faults.add(&request.query),
            _ => return Err(Failure::unknown_path()),
        }
        Ok(Answer::Json(200, json!({})))
    }

    pub(crate) fn compact(&self) {
        let mut state = self.state.lock();
        state.compact();
        self.changed.send_replace(state.revision());
    }

    fn user(&self, request: &Request) -> Result<User, Failure> {
        let real = match request.header("authorization").strip_prefix("Bearer ") {
            Some(token) => self.signer.check(&self.state.lock(), token, None)?,
            None => User::admin(),
        };
        let impersonated = request.header("impersonate-user");
        if impersonated.is_empty() {
            return Ok(real);
        }
        let groups = request
            .headers
            .get_all("impersonate-group")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect();
        Ok(User::impersonated(impersonated, groups))
    }

    /// Changes the state, or, in a dry run, a copy of it.
    fn write<T>(
        &self,
        dry: bool,
        change: impl FnOnce(&mut State) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut state = self.state.lock();
        if dry {
            return change(&mut state.clone());
        }
        let result = change(&mut state);
        self.changed.send_replace(state.revision());
        result
    }
}

/// One request for objects.
struct Call<'a> {
    api: &'a Api,
    request: &'a Request,
    user: User,
    target: Target,
    resource: &'a Arc<Resource>,
}

impl Call<'_> {
    fn run(&self) -> Result<Answer, Failure> {
        self.check_path()?;
        let verb = self.verb()?;
        self.authorize(verb)?;
        match verb {
            "get" => self.get(),
            "list" => Ok(Answer::Json(
                200,
                watching::list(&self.api.state.lock(), &self.scope()?, &self.request.query)?,
            )),
            "watch" => self.watch(),
            "create" if self.target.subresource == "token" => self.token(),
            "create" => self.create(),
            "update" => self.update(),
            "patch" => self.patch(),
            "delete" => self.delete(),
            _ => self.delete_collection(),
        }
    }

    fn check_path(&self) -> Result<(), Failure> {
        let fits = match self.target.subresource.as_str() {
            "" => true,
            "status" => self.resource.status,
            "token" => self.resource.plural == "serviceaccounts",
            "finalize" => self.resource.plural == "namespaces",
            _ => false,
        };
        let in_place = self.resource.namespaced || self.target.namespace.is_empty();
        let named = self.target.name.is_empty()
            || !self.resource.namespaced
            || !self.target.namespace.is_empty();
        if fits && in_place && named {
            Ok(())
        } else {
            Err(Failure::unknown_path())
        }
    }

    fn verb(&self) -> Result<&'static str, Failure> {
        let named = !self.target.name.is_empty();
        let verb = match self.request.method {
            Method::GET if named => "get",
            Method::GET if self.request.query.is_true("watch") => "watch",
            Method::GET => "list",
            Method::POST if !named || self.target.subresource == "token" => "create",
            Method::PUT if named => "update",
            Method::PATCH if named => "patch",
            Method::DELETE if named && self.target.subresource.is_empty() => "delete",
            Method::DELETE if !named => "deletecollection",
            _ => return Err(Failure::method_not_allowed()),
        };
        // What is in a namespace is made in one.
        if verb == "create" && self.resource.namespaced && self.target.namespace.is_empty() {
            Err(Failure::method_not_allowed())
        } else {
            Ok(verb)
        }
    }

    fn authorize(&self, verb: &str) -> Result<(), Failure> {
        let resource = match self.target.subresource.as_str() {
            "" => self.resource.plural.clone(),
            sub => format!("{}/{sub}", self.resource.plural),
        };
        let name = match self.scope()?.selector.single_name() {
            Some(name) if self.target.name.is_empty() => name.to_owned(),
            _ => self.target.name.clone(),
        };
        // A namespace is its own namespace.
        let namespace = if self.resource.plural == "namespaces" {
            self.target.name.clone()
        } else {
            self.target.namespace.clone()
        };
        let what = Attributes {
            verb: verb.to_owned(),
            group: self.resource.group.clone(),
            resource,
            namespace,
            name,
        };
        let enforce = self.api.enforce.load(Ordering::Relaxed);
        authorize(
            &self.api.state.lock(),
            &mut self.api.record.lock(),
            enforce,
            &self.user,
            &what,
            self.resource,
        )
    }

    fn scope(&self) -> Result<Scope, Failure> {
        let query = &self.request.query;
        let selector = Selector::parse(
            query.text("labelSelector"),
            query.text("fieldSelector"),
            self.resource,
        )?;
        Ok(Scope {
            resource: Arc::clone(self.resource),
            namespace: self.target.namespace.clone(),
            selector,
        })
    }

    fn place(&self) -> Place<'_> {
        Place {
            resource: self.resource,
            namespace: &self.target.namespace,
            strict: self.request.query.text("fieldValidation") == "Strict",
        }
    }

    fn dry(&self) -> bool {
        !self.request.query.text("dryRun").is_empty()
            || !texts(&self.request.body, "/dryRun").is_empty()
    }

    fn writer(&self, operation: &'static str) -> Writer {
        let apply = operation == "Apply";
        let manager = if apply {
            self.request.query.text("fieldManager").to_owned()
        } else {
            self.request.field_manager()
        };
        let subresource = if self.target.subresource == "finalize" {
            String::new()
        } else {
            self.target.subresource.clone()
        };
        Writer {
            manager,
            operation,
            subresource,
            force: apply && self.request.query.is_true("force"),
        }
    }

    fn shown(&self, code: u16, object: &Value) -> Answer {
        Answer::Json(code, shown(object, self.resource))
    }

    /// The body as an object of this resource.
    fn object(&self) -> Result<Value, Failure> {
        let body = &self.request.body;
        let kind = text(body, "/kind");
        let version = text(body, "/apiVersion");
        if !body.is_object() {
            return Err(Failure::bad_request("the request body is not an object"));
        }
        if (!kind.is_empty() && kind != self.resource.kind)
            || (!version.is_empty() && version != self.resource.api_version())
        {
            let wanted = format!(
                "{}, Kind={}",
                self.resource.api_version(),
                self.resource.kind
            );
            return Err(Failure::bad_request(format!(
                "the API version in the data ({version}, Kind={kind}) does not match the expected API version ({wanted})"
            )));
        }
        Ok(kept(body.clone(), self.resource))
    }

    fn get(&self) -> Result<Answer, Failure> {
        let object = self.api.state.lock().require(
            self.resource,
            &self.target.namespace,
            &self.target.name,
        )?;
        Ok(self.shown(200, &object))
    }

    fn watch(&self) -> Result<Answer, Failure> {
        let watch = Watch::start(&self.api.state.lock(), self.scope()?, &self.request.query)?;
        let timeout = self
            .request
            .query
            .number("timeoutSeconds")
            .filter(|&seconds| seconds > 0)
            .map(Duration::from_secs);
        Ok(Answer::Watch(Box::new(watch), timeout))
    }

    fn create(&self) -> Result<Answer, Failure> {
        let object = self.object()?;
        let created = self.api.write(self.dry(), |state| {
            write::create(state, self.place(), object, &self.writer("Update"))
        })?;
        Ok(self.shown(201, &created))
    }

    fn token(&self) -> Result<Answer, Failure> {
        let account = self.api.state.lock().require(
            self.resource,
            &self.target.namespace,
            &self.target.name,
        )?;
        Ok(Answer::Json(
            201,
            self.api.signer.issue(&account, &self.request.body)?,
        ))
    }

    fn update(&self) -> Result<Answer, Failure> {
        let object = self.object()?;
        let written = self.api.write(self.dry(), |state| {
            write::replace(
                state,
                self.place(),
                &self.target.name,
                object,
                &self.writer("Update"),
            )
        })?;
        if self.target.subresource == "finalize" {
            self.api.write(self.dry(), |state| {
                collect::settle(state);
                Ok(())
            })?;
        }
        Ok(self.shown(200, &written))
    }

    fn patch(&self) -> Result<Answer, Failure> {
        let kind = PatchKind::of(self.request.header("content-type"), self.resource)?;
        if kind == PatchKind::Apply {
            return self.apply();
        }
        let written = self.api.write(self.dry(), |state| {
            let old = state.require(self.resource, &self.target.namespace, &self.target.name)?;
            let new = patched(&shown(&old, self.resource), &self.request.body, kind)?;
            if name(&new) != self.target.name {
                return Err(Failure::bad_request(
                    "the name of the object may not be changed",
                ));
            }
            write::change(
                state,
                self.place(),
                &old,
                kept(new, self.resource),
                &self.writer("Update"),
            )
        })?;
        Ok(self.shown(200, &written))
    }

    fn apply(&self) -> Result<Answer, Failure> {
        let config = self.object()?;
        if !name(&config).is_empty() && name(&config) != self.target.name {
            return Err(Failure::bad_request(
                "the name of the object does not match the name on the URL",
            ));
        }
        let exists = self
            .api
            .state
            .lock()
            .get(self.resource, &self.target.namespace, &self.target.name)
            .is_some();
        if !exists {
            self.authorize("create")?;
        }
        let (object, created) = self.api.write(self.dry(), |state| {
            write::apply_object(
                state,
                self.place(),
                &self.target.name,
                config,
                &self.writer("Apply"),
            )
        })?;
        Ok(self.shown(if created { 201 } else { 200 }, &object))
    }

    fn delete(&self) -> Result<Answer, Failure> {
        let options = DeleteOptions::parse(&self.request.body, &self.request.query);
        let (object, gone) = self.api.write(self.dry(), |state| {
            collect::delete(
                state,
                self.resource,
                &self.target.namespace,
                &self.target.name,
                &options,
            )
        })?;
        if !gone {
            return Ok(self.shown(200, &object));
        }
        let details = json!({"name": self.target.name, "group": self.resource.group, "kind": self.resource.plural, "uid": text(&object, "/metadata/uid")});
        Ok(Answer::Json(
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        ))
    }

    fn delete_collection(&self) -> Result<Answer, Failure> {
        let options = DeleteOptions::parse(&self.request.body, &self.request.query);
        let scope = self.scope()?;
        let items = self.api.write(self.dry(), |state| {
            let page = watching::list(state, &scope, &crate::request::Query::default())?;
            let mut items = Vec::new();
            for object in list(&page, "/items") {
                let (namespace, object_name) = crate::state::key_of(object);
                // What went with another one is gone already.
                if let Ok((object, _)) =
                    collect::delete(state, self.resource, &namespace, &object_name, &options)
                {
                    items.push(shown(&object, self.resource));
                }
            }
            Ok(items)
        })?;
        Ok(Answer::Json(200, listed(items, self.resource, json!({}))))
    }
}
