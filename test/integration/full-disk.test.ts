/** `pciback serve` with a standby, whose state directory cannot be written: nothing ends, no guest waits, all is saved in the end. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatSbdf } from 'pciback';
import { describe, expect, test } from 'vitest';
import { formatSbdf as nameOf } from '../../src/address.ts';
import { Registry, contextOf, stateOf } from '../../src/backend/registry.ts';
import { XenbusState } from '../../src/xenbus/index.ts';
import { Script, listing } from './script.ts';
import { StandInHost } from './stand-in-host.ts';
import { e1000e, igb, nvme } from './surroundings.ts';

const { Closing, Connected, Reconfiguring } = XenbusState;
const answers = { igb: 0x10c9_8086, nvme: 0x0010_1b36, e1000e: 0x10d3_8086 } as const;

/** What makes the state directory of a host unusable, and usable again. */
interface Trouble {
  readonly code: RegExp;
  begin(host: StandInHost): Promise<void>;
  end(host: StandInHost): Promise<void>;
}

/** Every file that a daemon writes; records and models are there already. */
const names = (state: string): string[] => [
  ...[e1000e, nvme, igb].map((sbdf) => join(state, 'function', `${formatSbdf(sbdf)}.new`)),
  ...[1, 2, 3].map((domid) => join(state, 'ring', `${domid}.new`)),
];

/** Of all processes that serve, also of those that take over later: they inherit it. */
function limitFiles(host: StandInHost, bytes: string): void {
  for (const pid of host.processes()) execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`]);
}

const troubles: Readonly<Record<string, Trouble>> = {
  'directories where files should be': {
    code: /^EISDIR: /,
    async begin({ state }) {
      for (const name of names(state)) mkdirSync(name, { recursive: true });
    },
    async end({ state }) {
      for (const name of names(state)) rmdirSync(name);
    },
  },
  // Room for the few bytes by which a port of the loopback hypervisor is bound, which are none of the state.
  'a limit on the size of files': {
    code: /^EFBIG: /,
    async begin(host) {
      limitFiles(host, '16');
    },
    async end(host) {
      limitFiles(host, 'unlimited');
    },
  },
};

/** A guest that was there, one that comes, a hot-plug and a detach; then the daemon is killed, and its standby goes on. */
async function live(host: StandInHost, trouble: Trouble): Promise<void> {
  await using guest = await Script.begin(host, 1);
  await guest.connect(e1000e);
  await trouble.begin(host);
  await using late = await Script.begin(host, 2);
  await late.connect(nvme);
  expect(await late.read(0)).toEqual({ err: 0, value: answers.nvme });
  await guest.reconfigure(listing(1, igb));
  expect(await guest.read(1)).toEqual({ err: 0, value: answers.igb });
  await guest.reconfigure({ 'state-0': Closing });
  expect(await guest.read(0)).toMatchObject({ err: -1 });

  const { pid, stateNotSaved } = await host.status();
  expect(stateNotSaved).toMatchObject({ error: expect.stringMatching(trouble.code) as string });
  expect(host.count('state.notSaved')).toBe(1);
  const standIn = await host.untilStandIns(1);
  process.kill(pid, 'SIGKILL');
  expect(await host.untilSuccessions(1)).toBe(standIn);
  // Nothing of that could be written, and still each function is whose it was.
  expect(await guest.read(1)).toEqual({ err: 0, value: answers.igb });
  expect(await guest.read(0)).toMatchObject({ err: -1 });
  expect(await late.read(0)).toEqual({ err: 0, value: answers.nvme });
  const ownerOf = async (): Promise<Record<string, number | null>> =>
    Object.fromEntries((await host.status()).functions.map(({ sbdf, owner }) => [sbdf, owner]));
  expect(await ownerOf()).toEqual({
    [formatSbdf(e1000e)]: null,
    [formatSbdf(igb)]: 1,
    [formatSbdf(nvme)]: 2,
  });
  await host.untilHidden(e1000e);
  await using heir = await Script.begin(host, 3);
  await heir.connect(e1000e);
  expect(await heir.read(0)).toEqual({ err: 0, value: answers.e1000e });

  await trouble.end(host);
  await host.untilStatus('all to be saved', (status) => status.stateNotSaved === null);
  await host.until('it to be told', ({ type }) => type === 'state.saved');
  const stored = new Registry(join(host.state, 'function'), () => undefined).entries();
  const found = stored.map(
    (entry) => [nameOf(entry.facts.sbdf), [stateOf(entry), contextOf(entry).owner]] as const,
  );
  expect(Object.fromEntries(found)).toEqual({
    [formatSbdf(e1000e)]: ['connected', 3],
    [formatSbdf(nvme)]: ['connected', 2],
    [formatSbdf(igb)]: ['connected', 1],
  });
  expect(readdirSync(join(host.state, 'ring')).sort()).toEqual(['1', '2', '3']);
  await heir.writeBack({ 'state-0': Closing, state: Reconfiguring });
  await heir.writeFront({ state: Reconfiguring });
  await heir.untilBack('state', 8);
  await heir.writeFront({ state: Connected });
}

describe('a state directory that cannot be written', () => {
  test.each(Object.keys(troubles))('because of %s', async (name) => {
    const trouble = troubles[name];
    if (!trouble) throw new Error('unknown');
    await using host = await StandInHost.start(e1000e, nvme, igb);
    await live(host, trouble);
  });

  /** Root may mount a file system for the daemon alone. */
  const mayMount = ((): boolean => {
    try {
      execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();

  test.runIf(mayMount)('because its file system is full', async () => {
    await using host = await StandInHost.startOnSmallDisk('300k', e1000e, nvme, igb);
    await live(host, {
      code: /^ENOSPC: /,
      async begin({ state }) {
        expect(() => {
          for (let part = 0; ; part++) writeFileSync(join(state, `filler-${part}`), new Uint8Array(4096));
        }).toThrow('ENOSPC');
      },
      async end({ state }) {
        for (const name of readdirSync(state)) if (name.startsWith('filler-')) rmSync(join(state, name));
      },
    });
  });
});
