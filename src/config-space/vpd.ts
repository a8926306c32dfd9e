/**
 * Vital product data (PCI Local Bus 3.0, appendix I): a guest reads it by writing an address and waiting for bit 15 to be
 * set. Writing the address with bit 15 set would write what is in the data register into the function's memory instead.
 */
import { WireError } from '../ring/layout.ts';
import { Vpd } from './bits.ts';
import {
  type Blueprint,
  capabilityHeader,
  ignored,
  register,
  type Register,
  type WriteRule,
} from './register.ts';

const addressRule: WriteRule = {
  meaning: 'starts a read; a write of vital product data is refused',
  apply(filter, { offset }, value) {
    if ((value & Vpd.writeFlag) !== 0) {
      filter.deny(offset);
      return WireError.accessDenied;
    }
    filter.hardware.write(offset, 2, value);
    return WireError.success;
  },
};

export const vpdRegisters = (at: number, blueprint: Blueprint): readonly Register[] => [
  capabilityHeader('Vital product data', at, blueprint),
  register('VPD address', at + Vpd.address, 2, { rule: addressRule, reaches: 0xffff }),
  register('VPD data', at + Vpd.data, 4, { rule: ignored }),
];
