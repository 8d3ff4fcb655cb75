//! The exports that a listener serves, by name.

use std::sync::Arc;

use fair_cores::Cores;
use nbdbox_config::limits::Limits;

use crate::fault::Failure;
use crate::identity::Client;
use crate::{Device, Served};

/// An export that a client may be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name; empty is the default export.
    pub name: String,
    /// A text for people.
    pub description: Option<String>,
}

/// An export as one connection has it.
pub struct Opened<D> {
    /// The export.
    pub served: Served<D>,
    /// What the connection has for as long as it lasts, its permits among them. Dropped when the connection ends,
    /// after [`Device::leave`].
    pub hold: Option<Box<dyn Send + Sync>>,
}

/// Why an export can't be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// There is none of that name, for this client.
    Unknown,
    /// It's there, but can't be opened now; whoever is at fault was told.
    Failed,
    /// It's there, but so many are connected that no more may be.
    Full,
}

/// The exports that a listener serves.
pub trait Catalog: Send + Sync + 'static {
    /// What they are.
    type Device: Device;

    /// The limits before an export is chosen.
    fn limits(&self) -> &Limits;

    /// The cores that its tenants share, and so what is done for clients that aren't known yet.
    fn cores(&self) -> Option<&Arc<Cores>>;

    /// All exports that `client` may know of.
    fn list(&self, client: &Client) -> impl Future<Output = Result<Vec<Listed>, Failure>> + Send;

    /// Opens one, or joins it where it's open. One that isn't for `client` is answered as one that there
    /// isn't, and nothing of a plugin runs for it.
    fn find(
        &self,
        client: &Client,
        name: &str,
    ) -> impl Future<Output = Result<Opened<Self::Device>, Absent>> + Send;
}
