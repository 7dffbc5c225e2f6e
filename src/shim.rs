//! What the whole process shares, set up when the library is loaded.

use std::sync::OnceLock;

use ticketshim_keys::settings::Settings;
use ticketshim_keys::store::Store;

use crate::libssl::guard::guard;

/// Settings and keys of this process.
pub(crate) struct Shim {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
}

static SHIM: OnceLock<Shim> = OnceLock::new();

/// The process's settings and keys. Set up at load, or here if another library's constructor was faster.
pub(crate) fn shim() -> &'static Shim {
    SHIM.get_or_init(|| {
        let settings = Settings::load();
        let store = Store::open(&settings);
        Shim { settings, store }
    })
}

/// Runs when the library is loaded, also in every shell and helper that inherits `LD_PRELOAD`: reads settings and a
/// state file if one is named (later the process may be in a chroot, or no longer root), and touches nothing else.
extern "C" fn at_load() {
    guard((), || {
        std::panic::set_hook(Box::new(|panic| {
            ticketshim_keys::log::warn(format_args!("internal error, going on without this ticket: {panic}"));
        }));
        shim();
    });
}

#[used]
// SAFETY: the dynamic loader's promise: each pointer in .init_array is called once with no lock of ours held; further
// arguments that glibc passes are ignored by the C calling convention.
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;
