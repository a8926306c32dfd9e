import { beforeEach, expect, it } from 'vitest';
import { Host } from './host.ts';
import { run, runHere } from './run.ts';

let host: Host;
beforeEach(async () => {
  host = await Host.start();
  host.guests = [
    {
      domid: 5,
      name: 'web',
      servedBy: 'pciback',
      state: 'initialised',
      backendState: 'Initialised',
      frontendState: 'Initialising',
      functions: [
        {
          sbdf: '0000:03:00.0',
          vdev: '0000:00:00.00',
          state: 'bound',
          resettingSince: null,
          requests: 12,
          denied: 3,
        },
      ],
      reachedBy: 'front-end',
      waitingFor: 'the front-end, to come up',
      waitingSince: null,
    },
  ];
  host.functions = [
    {
      sbdf: '0000:03:00.0',
      state: 'bound',
      resettingSince: null,
      owner: 5,
      servedBy: 'pciback',
      reason: null,
    },
    { sbdf: '0000:04:00.0', state: 'hidden', resettingSince: null, owner: null, reason: null },
    {
      sbdf: '0000:05:00.0',
      state: 'quarantined',
      resettingSince: null,
      owner: null,
      reason: 'it did not come back',
    },
  ];
});

it('shows guests, whom they wait for, and the functions that are free', async () => {
  const { code, stdout, stderr } = await run(['status'], host.env);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toBe(
    `pciback daemon 4711, ready, serves ${host.loopback.directory}, topology vpci

domain 5 (web): back-end Initialised, front-end Initialising
  waiting for the front-end, to come up
  FUNCTION      IN THE GUEST   STATE  REQUESTS  DENIED
  0000:03:00.0  0000:00:00.00  bound  12        3

FUNCTION      STATE        REASON
0000:04:00.0  hidden
0000:05:00.0  quarantined  it did not come back
`,
  );
});

it('says for how long a guest has been waiting', async () => {
  const [guest] = host.guests;
  if (!guest) throw new Error('no guest');
  host.guests = [{ ...guest, waitingSince: new Date(Date.now() - 90_000).toISOString() }];
  const [, seconds] = /to come up \(for (\d+) s\)$/m.exec(await runHere(['status'], host.env)) ?? [];
  expect(Number(seconds)).toBeGreaterThanOrEqual(90);
  expect(Number(seconds)).toBeLessThan(120);
});

it('says of a function that a guest has what has become of it', async () => {
  const [owned, ...others] = host.functions;
  if (!owned) throw new Error('no function');
  host.functions = [{ ...owned, reason: 'was taken from its stub: e1000e has it' }, ...others];
  expect(await runHere(['status'], host.env)).toContain(
    '\n  0000:03:00.0  0000:00:00.00  bound  12        3\n  0000:03:00.0 was taken from its stub: e1000e has it\n',
  );
});

it('says of an HVM guest that its device model reaches the function, and so does list', async () => {
  const [guest] = host.guests;
  if (!guest) throw new Error('no guest');
  host.guests = [{ ...guest, reachedBy: 'device model', waitingFor: null }];
  const shown = await runHere(['status'], host.env);
  expect(shown).toContain('  HVM: its device model reaches the functions; no front-end will come\n');
  expect(shown).not.toContain('waiting for');
  expect(await runHere(['list'], host.env)).toMatch(/0000:03:00\.0 .* domain 5, device model /);
  const listed = JSON.parse(await runHere(['list', '--json'], host.env)) as Record<string, unknown>[];
  expect(listed.map(({ sbdf, reachedBy }) => [sbdf, reachedBy])).toContainEqual([
    '0000:03:00.0',
    'device model',
  ]);
  expect(listed.map(({ sbdf, reachedBy }) => [sbdf, reachedBy])).toContainEqual(['0000:04:00.0', null]);
});

it('says of a function that is being reset since when, whoever had it, and so does list', async () => {
  const [guest] = host.guests;
  const [exported] = guest?.functions ?? [];
  if (!guest || !exported) throw new Error('no guest');
  const [early, late] = ['2026-11-28T12:00:00.000Z', '2026-11-28T12:00:01.000Z'];
  host.guests = [{ ...guest, functions: [{ ...exported, state: 'connected.flr', resettingSince: early }] }];
  host.functions = [
    { sbdf: '0000:03:00.0', state: 'connected.flr', resettingSince: early, owner: 5, reason: null },
    { sbdf: '0000:04:00.0', state: 'reset', resettingSince: late, owner: 0, reason: null },
  ];
  const shown = await runHere(['status'], host.env);
  expect(shown).toMatch(/^ {2}0000:03:00\.0 .* being reset since 2026-11-28T12:00:00\.000Z /m);
  expect(shown).toMatch(/^0000:04:00\.0 +being reset since 2026-11-28T12:00:01\.000Z/m);
  const listed = await runHere(['list'], host.env);
  expect(listed).toMatch(/0000:03:00\.0 .* domain 5, being reset since 2026-11-28T12:00:00\.000Z /);
  expect(listed).toMatch(/0000:04:00\.0 .* being reset since 2026-11-28T12:00:01\.000Z /);
});

it("gives programs the daemon's answer as it is", async () => {
  const { stdout } = await run(['status', '--json'], host.env);
  expect(JSON.parse(stdout)).toEqual(host.status);
});

it('takes the directory from an option rather than from the environment', async () => {
  const { env, loopback } = host;
  expect(
    await runHere(['status', '--loopback', loopback.directory], { PCIBACK_LOOPBACK: '/nonexistent' }),
  ).toBe(await runHere(['status'], env));
});

it('tells list who has what', async () => {
  const { stdout } = await run(['list', '--json'], host.env);
  const functions = JSON.parse(stdout) as { sbdf: string; state: string; owner: number | null }[];
  expect(functions.map(({ sbdf, state, owner }) => `${sbdf} ${state} ${owner}`)).toEqual([
    '0000:00:1c.0 host null',
    '0000:03:00.0 bound 5',
    '0000:03:00.1 host null',
    '0000:04:00.0 hidden null',
    '0000:05:00.0 quarantined null',
    '0000:06:00.0 host null',
  ]);
  const rows = (await runHere(['list'], host.env)).split('\n').slice(1);
  expect(rows.map((row) => row.split(/ {2,}/)[5])).toEqual([
    'flr,pm',
    'flr,pm',
    'flr,pm',
    'pm',
    'flr,pm',
    'flr,pm',
  ]);
  expect(rows.map((row) => row.split(/ {2,}/)[4])).toEqual([
    '-',
    'domain 5',
    '-',
    'hidden',
    'quarantined',
    '-',
  ]);
});

it('says of a guest that is left to the kernel who serves it, in status and in list', async () => {
  const theirs = {
    sbdf: '0000:06:00.0',
    vdev: '0000:00:00.00',
    state: 'host',
    resettingSince: null,
    requests: 0,
    denied: 0,
  };
  host.guests = [
    {
      domid: 7,
      name: 'db',
      servedBy: 'kernel',
      state: 'left',
      backendState: 'Connected',
      frontendState: 'Connected',
      functions: [theirs, { ...theirs, sbdf: '0000:04:00.0', state: 'hidden' }],
      reachedBy: 'front-end',
      waitingFor: null,
      waitingSince: null,
    },
  ];
  host.functions = [
    {
      sbdf: '0000:04:00.0',
      state: 'hidden',
      resettingSince: null,
      owner: 7,
      servedBy: 'kernel',
      reason: null,
    },
  ];
  const shown = await runHere(['status'], host.env);
  expect(shown).toContain(
    "domain 7 (db): served by the kernel's xen-pciback; back-end Connected, front-end Connected",
  );
  expect(shown).not.toContain('waiting');
  const rows = (await runHere(['list'], host.env)).split('\n').slice(1);
  expect(rows.map((row) => row.split(/ {2,}/)[4])).toEqual([
    '-',
    '-',
    '-',
    "domain 7, served by the kernel's xen-pciback",
    '-',
    "domain 7, served by the kernel's xen-pciback",
  ]);
  const listed = JSON.parse((await run(['list', '--json'], host.env)).stdout) as {
    sbdf: string;
    owner: number | null;
    servedBy: string | null;
  }[];
  expect(listed.filter(({ owner }) => owner !== null)).toEqual([
    expect.objectContaining({ sbdf: '0000:04:00.0', owner: 7, servedBy: 'kernel' }),
    expect.objectContaining({ sbdf: '0000:06:00.0', owner: 7, servedBy: 'kernel' }),
  ]);
});
