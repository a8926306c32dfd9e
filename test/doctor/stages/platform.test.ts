import { platformStage } from '../../../src/doctor/stages/platform.ts';
import { describeStage } from '../cases.ts';
import {
  display,
  host,
  nic,
  onMachine,
  onXen,
  port,
  refusal,
  silent,
  sound,
  withDaemon,
} from '../support.ts';

describeStage(platformStage, {
  xen: [
    [host(), 'pass', /Xen 4\.17\.7, Linux 6\.1\.0-50-amd64 \(PV\)/],
    [onMachine({ xen: null }), 'fail', /no \/dev\/xen.*pciback demo/, 'NO-XEN'],
  ],
  dom0: [
    [host(), 'pass', /control_d/],
    [onXen({ capabilities: [''] }), 'fail', /guest of Xen/, 'NO-XEN'],
    [onXen({ capabilities: null }), 'warn', /mount -t xenfs/],
    [onMachine({ xen: null }), 'skip', /without Xen/],
  ],
  'dom0-type': [
    [host(), 'pass', /PV/],
    [onXen({ guestType: 'PVH' }), 'warn', /INTx does not reach guests/],
    [onXen({ guestType: null }), 'skip', /4\.13/],
  ],
  privilege: [
    [host(), 'pass', /root/],
    [onMachine({ isRoot: false }), 'fail', /64 bytes/, 'NO-PERMISSION'],
  ],
  'device-nodes': [
    [host(), 'pass', /privcmd evtchn gntdev hypercall/],
    [
      onXen({ deviceNodes: ['privcmd', 'hypercall'] }),
      'fail',
      /modprobe xen-evtchn; modprobe xen-gntdev/,
      'NO-XEN',
    ],
    [onXen({ deviceNodes: ['privcmd', 'evtchn', 'gntdev'] }), 'warn', /4\.18/],
  ],
  libraries: [
    [host(), 'pass', /Xen answers/],
    [onXen({ hasIommu: refusal('NO-PERMISSION') }), 'fail', /against NO-PERMISSION/, 'NO-PERMISSION'],
  ],
  xenstored: [
    [host(), 'pass', /answers/],
    [host([nic], { store: refusal('NO-XENSTORE') }), 'fail', /against NO-XENSTORE/, 'NO-XENSTORE'],
    [host([nic], { scope: 'loopback', machine: null, store: refusal('NO-XENSTORE') }), 'skip', /starts one/],
  ],
  lockdown: [
    [host(), 'pass', /no lockdown/],
    [onMachine({ lockdown: 'integrity' }), 'fail', /Secure Boot/, 'NO-PERMISSION'],
    [onMachine({ lockdown: null }), 'skip', /securityfs/],
  ],
  daemon: [
    [host(), 'pass', /4711/],
    [host([nic], { daemon: { ok: true, value: undefined } }), 'warn', /pciback serve/],
    [withDaemon({ state: 'draining' }), 'warn', /draining/],
    [host([nic], { daemon: refusal('NO-PERMISSION') }), 'fail', /told of NO-PERMISSION/, 'NO-PERMISSION'],
    [onMachine({ xen: null }), 'skip', /without Xen/],
  ],
  functions: [
    [host(), 'pass', /0000:41:00\.0/],
    [host([nic, port], { named: false }), 'pass', /1 of 2 could be exported/],
    [host([port], { named: false, subjects: [] }), 'warn', /pciback list/],
    [
      host([], { unresolved: [refusal('NO-SUCH-FUNCTION').error] }),
      'fail',
      /against NO-SUCH-FUNCTION/,
      'NO-SUCH-FUNCTION',
    ],
    [host([nic], { unreadable: [refusal('BAD-FILE').error] }), 'warn', /told of BAD-FILE/],
    [host([nic, sound], { silent: [silent(display)] }), 'pass', /0000:41:00\.0/],
    [
      host([sound], { silent: [silent()], subjects: [nic.sbdf] }),
      'fail',
      /0000:41:00\.0 does not answer \(power state D3cold\).*echo on > /,
      'NOT-ANSWERING',
    ],
    [
      host([sound], { silent: [silent()], unreadable: [silent().refusal], named: false }),
      'warn',
      /1 of 2 could be exported; 0000:41:00\.0 does not answer \(power state D3cold\)/,
    ],
  ],
});
