//! The bindings that wit-bindgen generates from `wit/`: one module for each interface that a plugin may export.
//!
//! Each interface has a small world of its own, so its export macro carries the type information of that interface
//! alone. A component therefore exports exactly the interfaces that its author names in [`export!`](crate::export),
//! and the host derives the NBD flags from them.
#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    clippy::pedantic,
    reason = "generated code"
)]

/// The interfaces that plugins import.
pub mod imports {
    wit_bindgen::generate!({ path: "../wit", world: "imports", generate_all });
    pub use nbdbox::plugin::{blobs, config, host, requests, types};
}

/// `manifest`: what the plugin is and what it needs.
pub mod manifest {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-manifest;
            world sdk-manifest { export nbdbox:plugin/manifest@0.1.0; }
        ",
        world: "nbdbox:sdk-manifest/sdk-manifest",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
            "nbdbox:plugin/blobs@0.1.0": crate::bindings::imports::blobs,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::manifest",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::manifest as interface;
}

/// `device`: the interface that every plugin exports.
pub mod device {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-device;
            world sdk-device { export nbdbox:plugin/device@0.1.0; }
        ",
        world: "nbdbox:sdk-device/sdk-device",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
            "nbdbox:plugin/blobs@0.1.0": crate::bindings::imports::blobs,
            "nbdbox:plugin/requests@0.1.0": crate::bindings::imports::requests,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::device",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::device as interface;
}

/// `writable`: writes and flushes.
pub mod writable {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-writable;
            world sdk-writable { export nbdbox:plugin/writable@0.1.0; }
        ",
        world: "nbdbox:sdk-writable/sdk-writable",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
            "nbdbox:plugin/blobs@0.1.0": crate::bindings::imports::blobs,
            "nbdbox:plugin/requests@0.1.0": crate::bindings::imports::requests,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::writable",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::writable as interface;
}

/// `zeroable`: trims and zeroes.
pub mod zeroable {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-zeroable;
            world sdk-zeroable { export nbdbox:plugin/zeroable@0.1.0; }
        ",
        world: "nbdbox:sdk-zeroable/sdk-zeroable",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::zeroable",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::zeroable as interface;
}

/// `sparse`: extents.
pub mod sparse {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-sparse;
            world sdk-sparse { export nbdbox:plugin/sparse@0.1.0; }
        ",
        world: "nbdbox:sdk-sparse/sdk-sparse",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
            "nbdbox:plugin/blobs@0.1.0": crate::bindings::imports::blobs,
            "nbdbox:plugin/requests@0.1.0": crate::bindings::imports::requests,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::sparse",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::sparse as interface;
}

/// `mappable`: where bytes are.
pub mod mappable {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-mappable;
            world sdk-mappable { export nbdbox:plugin/mappable@0.1.0; }
        ",
        world: "nbdbox:sdk-mappable/sdk-mappable",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
            "nbdbox:plugin/blobs@0.1.0": crate::bindings::imports::blobs,
            "nbdbox:plugin/mappings@0.1.0": generate,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::mappable",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::mappable as interface;
    pub use nbdbox::plugin::mappings;
}

/// `prefetch`: reading ahead.
pub mod prefetch {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-prefetch;
            world sdk-prefetch { export nbdbox:plugin/prefetch@0.1.0; }
        ",
        world: "nbdbox:sdk-prefetch/sdk-prefetch",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::prefetch",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::prefetch as interface;
}

/// `export-list`: several exports from one plugin.
pub mod export_list {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-export-list;
            world sdk-export-list { export nbdbox:plugin/export-list@0.1.0; }
        ",
        world: "nbdbox:sdk-export-list/sdk-export-list",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
        },
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::export_list",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::export_list as interface;
}

/// `next`: the layer below a filter.
pub mod next {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-next;
            world sdk-next { import nbdbox:plugin/next@0.1.0; }
        ",
        world: "nbdbox:sdk-next/sdk-next",
        with: {
            "nbdbox:plugin/types@0.1.0": crate::bindings::imports::types,
            "nbdbox:plugin/blobs@0.1.0": crate::bindings::imports::blobs,
            "nbdbox:plugin/requests@0.1.0": crate::bindings::imports::requests,
        },
        generate_all,
    });
    pub use nbdbox::plugin::next as interface;
}

/// `filter`: the interface that makes a component a filter.
pub mod filter {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package nbdbox:sdk-filter;
            world sdk-filter { export nbdbox:plugin/filter@0.1.0; }
        ",
        world: "nbdbox:sdk-filter/sdk-filter",
        pub_export_macro: true,
        default_bindings_module: "nbdbox_plugin::bindings::filter",
        export_macro_name: "export",
    });
    pub use exports::nbdbox::plugin::filter as interface;
}
