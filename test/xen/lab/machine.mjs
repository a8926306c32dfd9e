// The machine that QEMU makes, and what it boots. README.md says why the unusual words are there.
const functions = [
  'e1000e,netdev=net0,addr=3.0',
  'edu,addr=4.0',
  'virtio-rng-pci,addr=5.0',
  'pci-testdev,addr=6.0',
];
const xenLine = [
  'console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all',
  'dom0_mem=2048M,max:2048M dom0_max_vcpus=1 bootscrub=0 sched=credit',
].join(' ');
const dom0Line = 'console=hvc0 loglevel=6 nokaslr tsc=unstable sysrq_always_enabled';

/** QEMU's arguments. The first serial port, which Xen and dom0 print to, is its standard output. */
export function machineArguments({ images, share, drives, scenario }) {
  const modules = [`${images}/vmlinuz ${dom0Line} ${scenario.dom0}`, `${images}/dom0.img`];
  const words = [
    '-machine q35,kernel-irqchip=split -accel tcg,thread=multi,tb-size=1536 -cpu max,-la57,-smap -smp 2 -m 4096',
    '-nographic -nodefaults -no-reboot -display none -serial stdio',
    '-device intel-iommu,intremap=on,device-iotlb=off,eim=off',
    '-netdev user,id=net0',
    ...(scenario.devices ?? functions).map((device) => `-device ${device}`),
    // dom0's way to the directory that it shares with the host, out of the way of the slots that scenarios use.
    '-device virtio-9p-pci,fsdev=lab,mount_tag=lab,addr=1e.0',
  ];
  return [
    ...drives,
    ...words.join(' ').split(' '),
    '-fsdev',
    `local,id=lab,path=${share},security_model=none`,
    '-kernel',
    `${images}/xen.elf`,
    '-append',
    `${xenLine} ${scenario.xen}`.trim(),
    // A comma separates modules; one within a command line is doubled.
    '-initrd',
    modules.map((module) => module.trim().replaceAll(',', ',,')).join(','),
    ...scenario.qemu,
  ];
}
