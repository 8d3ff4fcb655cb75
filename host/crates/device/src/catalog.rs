//! The exports that a listener serves, by name.

use std::sync::Arc;

use fair_cores::Cores;
use nbdbox_config::limits::Limits;

use crate::fault::Failure;
use crate::identity::Client;
use crate::{Device, Served};

/// An export that a client may see in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The export's name; empty for the default export.
    pub name: String,
    /// A description for people.
    pub description: Option<String>,
}

/// An open export, for one connection.
pub struct Opened<D> {
    /// The export, as this connection reaches it.
    pub served: Served<D>,
    /// What the connection holds while it lasts, its permits among them. Dropped when the connection has ended, after
    /// [`Device::leave`].
    pub hold: Option<Box<dyn Send + Sync>>,
}

/// Why a client doesn't get an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No export of that name exists for this client.
    Unknown,
    /// It exists, but can't be opened now. The catalog has logged why.
    Failed,
    /// It exists, but it or its tenant has as many connections as it may.
    Full,
}

/// The exports that a listener serves.
pub trait Catalog: Send + Sync + 'static {
    /// The type of its exports.
    type Device: Device;

    /// The limits of a connection that hasn't chosen an export.
    fn limits(&self) -> &Limits;

    /// The cores that its tenants share, and that handshakes use too; `None` if nobody shares them.
    fn cores(&self) -> Option<&Arc<Cores>>;

    /// All exports that `client` may see. May wait. Dropping the future is safe.
    ///
    /// # Errors
    /// The catalog could not compile its list.
    fn list(&self, client: &Client) -> impl Future<Output = Result<Vec<Listed>, Failure>> + Send;

    /// Opens the export of this name, or joins it if it's open. May wait. Dropping the future is safe. If the export
    /// isn't for `client`, the result is [`Absent::Unknown`], as if it didn't exist, and no code of a plugin runs.
    ///
    /// # Errors
    /// Why the client doesn't get it.
    fn find(
        &self,
        client: &Client,
        name: &str,
    ) -> impl Future<Output = Result<Opened<Self::Device>, Absent>> + Send;
}
