/** Clients that others wrote, against the embedded xenstored. */
import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Xenstored } from '../../src/xenstore/server/index.ts';
import { check } from './harness.ts';
import { startTool, tool } from './lab.ts';

const pyxs = `
import sys, pyxs
with pyxs.Client(unix_socket_path=sys.argv[1]) as c:
    c[b"/py/a"] = b"one"
    assert c[b"/py/a"] == b"one"
    c.mkdir(b"/py/dir")
    assert sorted(c.list(b"/py")) == [b"a", b"dir"], c.list(b"/py")
    c.set_perms(b"/py/a", [b"n0", b"r5"])
    assert c.get_perms(b"/py/a") == [b"n0", b"r5"], c.get_perms(b"/py/a")
    assert c.get_domain_path(5) == b"/local/domain/5"
    assert c.is_domain_introduced(5)
    c.transaction(); c[b"/py/a"] = b"two"; assert c.commit() is True
    c.transaction(); c[b"/py/a"] = b"three"; c.rollback()
    assert c[b"/py/a"] == b"two"
    with c.monitor() as m:
        m.watch(b"/py", b"token")
        w = m.wait()
        assert next(w) == (b"/py", b"token")
        c[b"/py/a"] = b"four"
        assert next(w) == (b"/py/a", b"token")
    c.delete(b"/py")
    assert not c.exists(b"/py")
print("done")
`;

export async function checkStockTools(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'xs-'));
  mkdirSync(join(directory, 'dom'));
  writeFileSync(join(directory, 'dom/5'), 'running');
  const daemon = await Xenstored.start({ directory });
  const dom0 = daemon.socketPath;
  const dom5 = join(directory, 'xenstored/dom5');
  const named = (name: string, body: () => Promise<void>): Promise<void> =>
    check(`stock tools: ${name}`, body);

  await named('xenstore-write and -read', async () => {
    await tool(dom0, 'xenstore-write', '/t/a', 'one', '/t/b', 'two');
    equal(await tool(dom0, 'xenstore-read', '/t/a'), 'one\n');
    equal(await tool(dom0, 'xenstore-read', '-p', '/t/b'), '/t/b: two\n');
    await rejects(tool(dom0, 'xenstore-read', '/t/c'));
  });
  await named('xenstore-exists, -list and -rm', async () => {
    await tool(dom0, 'xenstore-exists', '/t/a');
    await rejects(tool(dom0, 'xenstore-exists', '/t/c'));
    equal(await tool(dom0, 'xenstore-list', '/t'), 'a\nb\n');
    await tool(dom0, 'xenstore-rm', '/t/b');
    equal(await tool(dom0, 'xenstore-list', '/t'), 'a\n');
  });
  await named('xenstore-chmod and -ls', async () => {
    await tool(dom0, 'xenstore-write', '/local/domain/5/name', 'guest');
    await tool(dom0, 'xenstore-chmod', '-r', '/local/domain/5', 'n5');
    await tool(dom0, 'xenstore-chmod', '/t/a', 'n0', 'r5');
    const lines = [
      '/local/domain/5 = ""   (n5)',
      '/local/domain/5/name = "guest"   (n5)',
      '/t/a = "one"   (n0,r5)',
    ];
    const listed = (await tool(dom0, 'xenstore-ls', '-fp')).split('\n');
    for (const line of lines) ok(listed.includes(line), `${line} in ${listed.join('; ')}`);
  });
  await named('a listing that takes many parts', async () => {
    for (let start = 0; start < 1000; start += 100) {
      const pairs = Array.from({ length: 100 }, (_, index) => [`/many/child-number-${start + index}`, '']);
      await tool(dom0, 'xenstore-write', ...pairs.flat());
    }
    equal((await tool(dom0, 'xenstore-list', '/many')).trim().split('\n').length, 1000);
    equal((await tool(dom0, 'xenstore-ls', '/many')).trim().split('\n').length, 1000);
  });
  await named('a guest sees and changes what is its own', async () => {
    equal(await tool(dom5, 'xenstore-read', 'name'), 'guest\n');
    await tool(dom5, 'xenstore-write', 'data/x', '1');
    equal(await tool(dom0, 'xenstore-read', '/local/domain/5/data/x'), '1\n');
    equal(await tool(dom5, 'xenstore-read', '/t/a'), 'one\n');
    await rejects(tool(dom5, 'xenstore-write', '/t/a', 'evil'));
    await rejects(tool(dom5, 'xenstore-ls', '/'));
    await rejects(tool(dom5, 'xenstore-read', '/many/child-number-1'));
  });
  await named('xenstore-watch', async () => {
    const watch = startTool(dom0, 'xenstore-watch', '-n', '3', '/w');
    const ended = once(watch, 'close');
    const printed: Buffer[] = [];
    watch.stdout?.on('data', (bytes: Buffer) => printed.push(bytes));
    // The first line says that the watch is set.
    if (watch.stdout) await once(watch.stdout, 'data');
    await tool(dom0, 'xenstore-write', '/w/one', '1');
    await tool(dom0, 'xenstore-rm', '/w');
    await ended;
    deepEqual(Buffer.concat(printed).toString().trim().split('\n'), ['/w', '/w/one', '/w']);
  });
  await named('xenstore-control', async () => {
    match(await tool(dom0, 'xenstore-control', 'check'), /^OK/);
    await rejects(tool(dom0, 'xenstore-control', 'nonsense'));
  });
  await named('test-xenstore as domain 0', async () => {
    match(await tool(dom0, 'test-xenstore', '-i', '200'), /ta rmw/);
  });
  await named('test-xenstore as a guest', async () => {
    match(await tool(dom5, 'test-xenstore', '-i', '200'), /ta rmw/);
  });
  await named('pyxs', async () => {
    equal(await tool(dom0, 'python3', '-c', pyxs, dom0), 'done\n');
  });
  await named('a domain that goes takes its nodes along', async () => {
    const watch = startTool(dom0, 'xenstore-watch', '-n', '2', '@releaseDomain');
    const ended = once(watch, 'close');
    if (watch.stdout) await once(watch.stdout, 'data');
    rmSync(join(directory, 'dom/5'));
    await ended;
    await rejects(tool(dom0, 'xenstore-read', '/local/domain/5/name'));
    ok(!existsSync(dom5));
  });

  daemon.close();
  await daemon.ended;
  rmSync(directory, { recursive: true, force: true });
}
