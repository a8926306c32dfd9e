import { expect, test } from 'vitest';
import { makeSbdf } from '../../src/address.ts';
import { GuestBus, listBus, Requester, RequestRefused } from '../../src/xpci/index.ts';
import { FakeFunction, FakeHost, networkAdapter, words } from './fake-host.ts';

const address = makeSbdf(0, 0, 0, 0);
const roots = [{ segment: 0, bus: 0 }];

function scannedBus(fn = networkAdapter(), width: 'natural' | 'dword' = 'natural') {
  const host = new FakeHost().add(0, 0, fn);
  const bus = new GuestBus(new Requester(host), width);
  bus.scan(roots);
  host.log.length = 0;
  return { host, bus, fn };
}

test('a scanned function carries everything a driver asks for', () => {
  const { bus } = scannedBus();
  expect(bus.functions).toHaveLength(1);
  expect(bus.functions[0]).toMatchObject({
    address,
    vendor: 0x8086,
    device: 0x10d3,
    subsystem: { vendor: 0x8086, device: 0xa01f },
    classCode: 0x02_0000,
    revision: 2,
    headerLayout: 0,
    multifunction: false,
    interruptPin: 1,
    interruptLine: 17,
    length: 4096,
    busesBehind: null,
  });
});

test('a function without a PCI Express capability has 256 bytes, and its extended space is left alone', () => {
  const { host, bus } = scannedBus(new FakeFunction({ 0x00: words(0x1111_8086), 0x100: words(0x0001_0001) }));
  bus.remove(address);
  bus.scan(roots);
  expect(bus.functions[0]?.length).toBe(256);
  expect(host.log.some(({ offset }) => offset >= 0x100)).toBe(false);
});

test('enabling turns on what the BARs call for, and mastering', () => {
  const { bus, fn } = scannedBus();
  fn.write(0x04, 2, 0);
  expect(bus.enable(address)).toBe(0x0007);
  bus.disable(address);
  expect(fn.read(0x04, 2)).toBe(0);
});

test('MSI-X is enabled for the whole table, in order', () => {
  const { host, bus } = scannedBus();
  expect(bus.interrupts(address)).toEqual({ mode: 'intx', vectors: [17] });
  expect(bus.enableMsix(address)).toEqual({ mode: 'msix', vectors: [0x37, 0x38, 0x39, 0x3a, 0x3b] });
  expect(host.log.at(-1)).toMatchObject({ cmd: 4, value: 5 });
  expect(bus.interrupts(address).mode).toBe('msix');
  expect(bus.disableMessageInterrupts(address)).toEqual({ mode: 'intx', vectors: [17] });
  expect(host.log.at(-1)).toMatchObject({ cmd: 5 });
});

test('MSI is enabled and given back', () => {
  const { host, bus } = scannedBus();
  expect(bus.enableMsi(address)).toEqual({ mode: 'msi', vectors: [0x37] });
  bus.disableMessageInterrupts(address);
  expect(host.log.at(-1)).toMatchObject({ cmd: 3 });
});

test('a refusal carries the error of the wire and leaves the mode as it was', () => {
  const { bus } = scannedBus();
  bus.enableMsi(address);
  expect(() => bus.enableMsix(address)).toThrow(expect.objectContaining({ err: -5 }));
  expect(bus.interrupts(address).mode).toBe('msi');
});

test('a pirq of zero is a failure although the answer says success', () => {
  const { bus, fn } = scannedBus();
  fn.firstPirq = 0;
  expect(() => bus.enableMsi(address)).toThrow(RequestRefused);
});

test('NetBSD reaches registers in double words only', () => {
  const { host, bus, fn } = scannedBus(networkAdapter(), 'dword');
  const config = bus.config(address);
  expect(config.read(0x3d, 1)).toBe(0x01);
  expect(config.read(0x02, 2)).toBe(0x10d3);
  config.write(0x0d, 1, 0x40);
  expect(fn.read(0x0c, 4)).toBe(0x0000_4010);
  expect(host.log.every(({ offset, size }) => size === 4 && offset % 4 === 0)).toBe(true);
});

test('an unanswered request reads as an absent function and is counted', () => {
  const { host, bus } = scannedBus();
  host.silent = true;
  expect(bus.config(address).read(0, 4)).toBe(0xffff_ffff);
  expect(bus.requester.lost).toBe(1);
});

test('the listing shows what lspci would', () => {
  const { bus } = scannedBus();
  bus.enableMsix(address);
  expect(listBus(bus)).toEqual([
    '0000:00:00.0 Ethernet controller [0200]: 8086:10d3 (rev 02)',
    '    Subsystem: 8086:a01f',
    '    Interrupt: MSI-X, 5 vectors, pirq 55-59',
    '    BAR 0: memory at feb80000 (32-bit, non-prefetchable) [size 128K]',
    '    BAR 1: memory at 1c0000000 (64-bit, prefetchable) [size 16K]',
    '    BAR 3: I/O ports at e000 [size 32]',
    '    ROM: at feb40000 [size 256K]',
    '    Capability: [c8] Power Management',
    '    Capability: [d0] MSI: 1 vector, 64-bit, maskable',
    '    Capability: [e0] PCI Express',
    '    Capability: [a0] MSI-X: 5 entries, table BAR 3 + 0x0, PBA BAR 3 + 0x2000',
    '    Capability: [b0] Vital Product Data',
    '    Extended: [100] Advanced Error Reporting v1',
    '    Extended: [140] Device Serial Number v1',
  ]);
});
