//! The `export!` macro.

/// Makes a type the component's plugin, with the optional interfaces that the call names.
///
/// ```text
/// nbdbox_plugin::export!(MyDisk);                                   // read-only
/// nbdbox_plugin::export!(MyDisk: Sparse);                           // with extents
/// nbdbox_plugin::export!(MyDisk: Writable + Zeroable + Sparse);     // a disk
/// nbdbox_plugin::export!(MyFilter: Filter + Writable + Sparse);     // a filter
/// ```
///
/// The names are those of the optional traits ([`Writable`](crate::Writable), [`Zeroable`](crate::Zeroable),
/// [`Sparse`](crate::Sparse), [`Mappable`](crate::Mappable), [`Prefetch`](crate::Prefetch),
/// [`ExportList`](crate::ExportList), [`Filter`](crate::Filter)),
/// which the type must implement. The component exports only the interfaces that are named here, and the host derives
/// the NBD flags from them.
#[macro_export]
macro_rules! export {
    ($plugin:ty $(: $first:ident $(+ $more:ident)*)?) => {
        #[doc(hidden)]
        type __NbdboxAdapter = $crate::adapter::Adapter<$plugin>;

        impl $crate::adapter::Slot for $plugin {
            fn with_slot<R>(
                work: impl FnOnce(&::core::cell::RefCell<Option<Self>>) -> R,
            ) -> R {
                ::std::thread_local! {
                    static SLOT: ::core::cell::RefCell<Option<$plugin>> =
                        const { ::core::cell::RefCell::new(None) };
                }
                SLOT.with(work)
            }
        }

        $crate::bindings::manifest::export!(
            __NbdboxAdapter with_types_in $crate::bindings::manifest);
        $crate::bindings::device::export!(
            __NbdboxAdapter with_types_in $crate::bindings::device);
        $(
            $crate::__export_optional!($first);
            $($crate::__export_optional!($more);)*
        )?
    };
}

/// Exports one optional interface, for [`export!`](crate::export).
#[doc(hidden)]
#[macro_export]
macro_rules! __export_optional {
    (Writable) => {
        $crate::bindings::writable::export!(
            __NbdboxAdapter with_types_in $crate::bindings::writable);
    };
    (Zeroable) => {
        $crate::bindings::zeroable::export!(
            __NbdboxAdapter with_types_in $crate::bindings::zeroable);
    };
    (Sparse) => {
        $crate::bindings::sparse::export!(
            __NbdboxAdapter with_types_in $crate::bindings::sparse);
    };
    (Mappable) => {
        $crate::bindings::mappable::export!(
            __NbdboxAdapter with_types_in $crate::bindings::mappable);
    };
    (Prefetch) => {
        $crate::bindings::prefetch::export!(
            __NbdboxAdapter with_types_in $crate::bindings::prefetch);
    };
    (ExportList) => {
        $crate::bindings::export_list::export!(
            __NbdboxAdapter with_types_in $crate::bindings::export_list);
    };
    (Filter) => {
        $crate::bindings::filter::export!(
            __NbdboxAdapter with_types_in $crate::bindings::filter);
    };
    ($other:ident) => {
        ::core::compile_error!(concat!(
            "export!: no optional interface is called `",
            stringify!($other),
            "`; there are Writable, Zeroable, Sparse, Mappable, Prefetch, ExportList and Filter"
        ));
    };
}
