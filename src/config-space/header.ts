/** What both layouts of the configuration header have in common (PCI Local Bus 3.0, 6.2). */
import { WireError } from '../ring/layout.ts';
import { bistStart, Header, Status } from './bits.ts';
import { commandRegister } from './command.ts';
import { byteAt } from './image.ts';
import {
  type Blueprint,
  forwarded,
  ignored,
  register,
  type Register,
  stable,
  type WriteRule,
} from './register.ts';

/** A guest may start the self test, or write what is there; anything else might leave a test running for ever. */
const bistRule: WriteRule = {
  meaning: 'starts the self test; nothing else',
  apply(filter, { offset }, value) {
    const current = filter.hardware.read(offset, 1);
    if (value === bistStart || ((value ^ current) & ~bistStart) === 0)
      filter.hardware.write(offset, 1, value);
    else filter.deny(offset);
    return WireError.success;
  },
};

export function commonRegisters(blueprint: Blueprint): readonly Register[] {
  const { seized } = blueprint;
  const fixed = { live: 0, rule: ignored };
  return [
    register('Vendor ID', Header.vendor, 2, { ...fixed, shown: seized.vendor }),
    register('Device ID', Header.device, 2, { ...fixed, shown: seized.device }),
    commandRegister(blueprint),
    register('Status', Header.status, 2, { clears: Status.writeOneToClear }),
    stable('Class code and revision', Header.classAndRevision, 4, blueprint),
    register('Cache line size', Header.cacheLineSize, 1, { rule: forwarded, reaches: 0xff }),
    register('Latency timer', Header.latencyTimer, 1, { rule: ignored }),
    stable('Header type', Header.headerType, 1, blueprint),
    register('BIST', Header.bist, 1, { rule: bistRule, reaches: 0xff }),
    stable('Capabilities pointer', Header.capabilityPointer, 1, blueprint),
    // What the host's kernel made of it: for a PV guest the number of its pirq (Linux xen-pciback).
    register('Interrupt line', Header.interruptLine, 1, { ...fixed, shown: seized.irq & 0xff }),
    register('Interrupt pin', Header.interruptPin, 1, {
      ...fixed,
      shown: byteAt(seized.config, Header.interruptPin),
    }),
  ];
}
