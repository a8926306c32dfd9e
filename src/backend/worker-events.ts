import { getSystemErrorName } from 'node:util';
import { type BackendEvent, makeEvent } from '../monitor/index.ts';
import type { Report } from './guest-worker.ts';
import { type Registry, contextOf } from './registry.ts';

/** What a report of a guest's worker is to those who watch the back-end. */
export function eventsOf(report: Report, domid: number, registry: Registry): readonly BackendEvent[] {
  switch (report.is) {
    case 'function': {
      const { sbdf, from, to, cause } = report;
      const entry = registry.get(sbdf);
      const failure = entry && contextOf(entry).failure;
      const change = makeEvent('function.state', { sbdf, domid, from, to, cause, ...failure });
      if (to !== 'quarantined' && to !== 'connected.dead') return [change];
      const data = { byGuest: to === 'connected.dead' };
      return [change, makeEvent('reset.failed', { sbdf, domid, ...failure, data })];
    }
    case 'reset': {
      const { sbdf, milliseconds, byGuest, method } = report;
      const data = { milliseconds, byGuest };
      return [makeEvent('reset.completed', { sbdf, domid, cause: method ?? 'none', data })];
    }
    case 'denied': {
      const { sbdf, register, times } = report;
      const cause = `0x${register.toString(16).padStart(3, '0')}`;
      return [makeEvent('register.denied', { sbdf, domid, cause, reason: 'WRITE-DENIED', data: { times } })];
    }
    case 'vectorRefused': {
      const { sbdf, errno, times } = report;
      const why = `the hypervisor refused an interrupt vector: ${getSystemErrorName(Math.min(errno, -1))}`;
      const details = { sbdf, domid, reason: 'HYPERCALL-FAILED', message: why, data: { times } } as const;
      return [makeEvent('vector.refused', details)];
    }
    case 'abandoned':
      return [makeEvent('request.abandoned', { domid, data: { times: report.times } })];
    case 'storm': {
      const { wakeups, times } = report;
      return [makeEvent('event.storm', { domid, reason: 'EVENT-STORM', data: { wakeups, times } })];
    }
    case 'ringLost':
      return [makeEvent('warning', { domid, reason: 'PAGE-VANISHED', message: 'the shared page went away' })];
    case 'bound':
      return [];
  }
}
