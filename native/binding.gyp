{
  'targets': [{
    'target_name': 'pciback',
    'sources': [
      'addon.cc',
      'back_end.cc',
      'config_file.cc',
      'event_loop_watch.cc',
      'fault_guard.cc',
      'front.cc',
      'front_end.cc',
      'hypervisor.cc',
      'js.cc',
      'lock_wait.cc',
      'loopback.cc',
      'loopback_directory.cc',
      'memory.cc',
      'pirq_table.cc',
      'platform.cc',
      'responder.cc',
      'ring.cc',
      'xen.cc',
      'xen_control.cc',
      'xen_libraries.cc',
      'xen_physdev.cc',
    ],
    'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")"],
    'defines': [
      'NAPI_VERSION=9',
      'NAPI_DISABLE_CPP_EXCEPTIONS',
      # An event can arrive while an environment ends; what cannot be thrown any more is dropped, not fatal.
      'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
    ],
    'cflags': ['-Wall', '-Wextra', '-fvisibility=hidden'],
    'cflags_cc': ['-std=c++20'],
    # Node unloads an addon with the last worker that used it, but a signal handler must stay where it is.
    'ldflags': ['-Wl,-z,nodelete'],
  }],
}
