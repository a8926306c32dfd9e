import type { Command } from './command.ts';

export interface CommandEntry {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Loads the command; `pciback --help` needs none of them. */
  load(): Promise<Command>;
}

/** The commands there are, in the order in which somebody meets them. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'demo',
    summary: 'show all of it on this machine, without Xen and without root',
    load: async () => (await import('./demo.ts')).demo,
  },
  {
    name: 'serve',
    summary: 'run the back-end daemon',
    load: async () => (await import('./serve.ts')).serve,
  },
  {
    name: 'list',
    summary: 'list the PCI functions of this host, and who has them',
    load: async () => (await import('./list.ts')).list,
  },
  {
    name: 'hide',
    summary: 'take functions from their host drivers',
    load: async () => (await import('./hide.ts')).hide,
  },
  {
    name: 'unhide',
    summary: 'give hidden functions back to the host',
    load: async () => (await import('./unhide.ts')).unhide,
  },
  {
    name: 'attach',
    summary: 'give functions to a guest',
    load: async () => (await import('./attach.ts')).attach,
  },
  {
    name: 'detach',
    summary: 'take functions back from a guest',
    load: async () => (await import('./detach.ts')).detach,
  },
  {
    name: 'status',
    summary: 'show guests, functions and counters of the running daemon',
    load: async () => (await import('./status.ts')).status,
  },
  {
    name: 'watch',
    summary: 'follow what happens at the running daemon',
    load: async () => (await import('./watch.ts')).watch,
  },
  {
    name: 'explain',
    summary: 'show what a guest may do with a function, register by register',
    load: async () => (await import('./explain.ts')).explain,
  },
  {
    name: 'quirk',
    summary: 'let a guest write registers that no rule is known for',
    load: async () => (await import('./quirk.ts')).quirk,
  },
  {
    name: 'reset',
    summary: 'reset a function, out of quarantine if need be',
    load: async () => (await import('./reset.ts')).reset,
  },
  {
    name: 'doctor',
    summary: 'find out what keeps functions from being passed through, and what to do about it',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  {
    name: 'check',
    summary: 'read a configuration file and say what it means, or what is wrong with it',
    load: async () => (await import('./check.ts')).check,
  },
  {
    name: 'conform',
    summary: 'run configuration-space vectors against the filter',
    load: async () => (await import('./conform.ts')).conform,
  },
  {
    name: 'bench',
    summary: 'measure the filter and the ring, against the least that could be done',
    load: async () => (await import('./bench.ts')).bench,
  },
  {
    name: 'xenstored',
    summary: 'run the embedded xenstored of a loopback hypervisor',
    load: async () => (await import('./xenstored.ts')).xenstored,
  },
];
