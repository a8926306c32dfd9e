/** What a command of the command line is made of. Its name and summary are in `commands.ts`. */
import type { Output } from './output.ts';

export interface Option {
  readonly type: 'boolean' | 'string';
  readonly short?: string;
  /** What stands for the value in the help. */
  readonly value?: string;
  readonly help: string;
  /** The environment variable that gives the value when the option does not. */
  readonly env?: string;
  /** The option that it cannot be given with, and whose environment variable it sets aside. */
  readonly insteadOf?: string;
}

export type Options = Readonly<Record<string, Option>>;

/** The values of options: those that were given. */
export type Values<Table extends Options> = {
  readonly [Name in keyof Table]?: Table[Name]['type'] extends 'string' ? string : true;
};

export interface Invocation<Table extends Options = Options> {
  readonly options: Values<Table & typeof commonOptions>;
  readonly positionals: readonly string[];
}

export interface Context {
  readonly output: Output;
  /** Aborted by the first SIGINT, SIGTERM, or SIGHUP unless the command is a daemon: the command undoes what is half done and ends. */
  readonly signal: AbortSignal;
}

export interface Command<Table extends Options = Options> {
  /** What follows the name in the usage line, options apart. */
  readonly operands: string;
  /** How many operands there are at least and at most. */
  readonly arity: readonly [least: number, most: number];
  /** Paragraphs that teach what the command does and when to use it. */
  readonly description: string;
  readonly examples: readonly { readonly line: string; readonly does: string }[];
  readonly options: Table;
  /** It goes on without its readers: what it prints may be lost, and keeps it neither from serving nor from ending. */
  readonly isDaemon?: true;
  /** Throws what made it fail; returning means that it was done. */
  run(invocation: Invocation<Table>, context: Context): Promise<void>;
}

/** Options that every command has. */
export const commonOptions = {
  json: { type: 'boolean', help: 'print machine-readable output alone on standard output' },
  help: { type: 'boolean', short: 'h', help: 'explain this command' },
} as const satisfies Options;

/** For commands that talk to a daemon or become one. */
export const loopbackOption = {
  loopback: {
    type: 'string',
    value: 'DIR',
    help: 'use the hypervisor in this directory instead of Xen',
    env: 'PCIBACK_LOOPBACK',
  },
} as const satisfies Options;

/** Lets the types of the option table flow into `run`. */
export const defineCommand = <const Table extends Options>(command: Command<Table>): Command => command;
