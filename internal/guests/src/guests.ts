import type { Guest } from './guest.ts';

/** Kernels of Debian 12. */
export const CLOUD_61 = '6.1.0-56-cloud-amd64';
const STOCK_61 = '6.1.0-56-amd64';
const CLOUD_510 = '5.10.0-46-cloud-amd64';
const RT_61 = '6.1.0-56-rt-amd64';
export const CLOUD_612 = '6.12.117+deb12-cloud-amd64';

/** QEMU's model with all that TCG can do, with four levels of paging. */
const MAX_4 = 'max,la57=off';
const MODULES = ['xfs', 'overlay', 'nf_tables'];

/** Every guest that fixtures are made of. */
export const GUESTS: readonly Guest[] = [
  {
    name: 'k61-qemu64',
    about: "QEMU's default CPU model: no SMEP, SMAP, UMIP, FSGSBASE; KASLR",
    kernel: CLOUD_61,
    cpu: 'qemu64',
    memory: '256M',
    cmdline: '',
  },
  {
    name: 'k61-clearcpuid-smep',
    about: 'a CPU with SMEP and SMAP that the kernel was told not to use',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M',
    cmdline: 'clearcpuid=smep,smap',
  },
  {
    name: 'k61-epyc',
    about: 'AMD EPYC, KASLR',
    kernel: CLOUD_61,
    cpu: 'EPYC-Rome',
    memory: '256M',
    cmdline: '',
    modules: MODULES,
  },
  {
    name: 'k612-epyc-kvm',
    about: 'nested virtualization on AMD: EFER.SVME set by kvm_amd',
    kernel: CLOUD_612,
    cpu: 'EPYC-Rome,svm=on',
    memory: '512M',
    cmdline: '',
    modules: ['kvm_amd'],
  },
  {
    name: 'k61-pti-user',
    about: "page-table isolation, stopped in user mode on the user's root",
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M',
    cmdline: 'pti=on',
    stop: 'user-mode',
    user: true,
  },
  {
    name: 'k61-pti-entry',
    about: "page-table isolation, stopped in the entry code: CPL 0 on the user's root",
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M',
    cmdline: 'pti=on',
    stop: 'system-call-entry',
  },
  {
    name: 'k61-pti-entry-no-vmcoreinfo',
    about: 'the same without the VMCOREINFO note',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M',
    cmdline: 'pti=on',
    stop: 'system-call-entry',
    vmcoreinfo: false,
  },
  {
    name: 'k61-pti-user-no-vmcoreinfo',
    about: 'user mode without the VMCOREINFO note',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M',
    cmdline: 'pti=on',
    stop: 'user-mode',
    vmcoreinfo: false,
  },
  {
    name: 'k61-la57-pti-2cpus',
    about: 'five levels, page-table isolation, two CPUs, KASLR',
    kernel: CLOUD_61,
    cpu: 'max',
    memory: '512M',
    cpus: 2,
    cmdline: 'pti=on',
    stop: 'user-mode',
  },
  {
    name: 'k61-dax-kmem',
    about: 'RAM by dax/kmem under "Soft Reserved"',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '512M',
    // E820_TYPE_SOFT_RESERVED: what firmware calls memory with the attribute EFI_MEMORY_SP.
    cmdline: 'memmap=128M%0x10000000-1+4026531839',
    modules: ['dax_hmem', 'device_dax', 'kmem'],
    commands: [
      'echo dax0.0 > /sys/bus/dax/drivers/device_dax/unbind',
      'echo dax0.0 > /sys/bus/dax/drivers/kmem/new_id',
      'for m in /sys/devices/system/memory/memory*; do echo online > $m/state 2>/dev/null; done',
    ],
  },
  {
    name: 'k61-pmem-kmem',
    about: 'RAM by dax/kmem under "Persistent Memory"',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '512M',
    // Two MiB for the namespace's own block, then a whole block of hot-plugged memory.
    cmdline: 'memmap=130M!0xfe00000',
    modules: ['nd_e820', 'nd_pmem', 'dax_pmem', 'device_dax', 'kmem'],
    commands: [
      'cd /sys/bus/nd/devices',
      'echo namespace0.0 > /sys/bus/nd/drivers/nd_pmem/unbind',
      'echo 6f1f9c2e-5d4b-4c0a-9f57-0c5d9a1e2b33 > dax0.0/uuid',
      'echo 2097152 > dax0.0/align',
      'echo ram > dax0.0/mode',
      'echo namespace0.0 > dax0.0/namespace',
      'echo dax0.0 > /sys/bus/nd/drivers/dax_pmem/bind',
      'echo dax0.0 > /sys/bus/dax/drivers/device_dax/unbind',
      'echo dax0.0 > /sys/bus/dax/drivers/kmem/new_id',
      'for m in /sys/devices/system/memory/memory*; do echo online > $m/state 2>/dev/null; done',
      'cd /',
    ],
  },
  {
    name: 'k61-virtio-mem',
    about: 'RAM by virtio-mem',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M,slots=2,maxmem=2G',
    cmdline: 'memhp_default_state=online',
    qemu: [
      ...['-object', 'memory-backend-ram,id=vmem,size=512M'],
      ...['-device', 'virtio-mem-pci,id=vm0,memdev=vmem,requested-size=256M'],
    ],
    modules: ['virtio_pci', 'virtio_mem'],
    commands: ['sleep 5'],
  },
  {
    name: 'k61-hotplug-4g',
    about: 'a DIMM plugged in at 4 GiB',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M,slots=2,maxmem=8G',
    cmdline: 'memhp_default_state=online',
    plug: [
      ['object-add', { 'qom-type': 'memory-backend-ram', id: 'dimm', size: 0x10000000 }],
      ['device_add', { driver: 'pc-dimm', id: 'dimm0', memdev: 'dimm' }],
    ],
  },
  {
    name: 'k61-ovmf',
    about: 'UEFI firmware (OVMF)',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '512M',
    cmdline: '',
    qemu: ['-machine', 'q35', '-drive', 'if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd'],
  },
  {
    name: 'k61-crash-kernel',
    about: 'a crash kernel loaded: its region is read-only in the direct map',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '1G',
    cmdline: 'crashkernel=160M',
    files: {
      '/sbin/kexec': '/sbin/kexec',
      '/boot/vmlinuz': 'KERNEL',
    },
    commands: ['/sbin/kexec -p /boot/vmlinuz --command-line=console=ttyS0 > /dev/ttyS0 2>&1'],
  },
  {
    name: 'k612-8g-1g-leaves',
    about: '8 GiB: direct map with 1 GiB leaves; KASLR',
    kernel: CLOUD_612,
    cpu: MAX_4,
    memory: '8G',
    cmdline: '',
    modules: MODULES,
  },
  {
    name: 'k612-256-kaslr',
    about: 'Linux 6.12 with KASLR and modules',
    kernel: CLOUD_612,
    cpu: MAX_4,
    memory: '512M',
    cmdline: '',
    modules: MODULES,
  },
  {
    name: 'k612-kfence',
    about: 'KFENCE: pages of the direct map that are not present, their frames inverted in the entries',
    kernel: CLOUD_612,
    cpu: MAX_4,
    memory: '256M',
    cmdline: 'kfence.sample_interval=10',
  },
  {
    name: 'k61-offline-cpu',
    about: 'a second CPU that was never started: its registers are those of reset',
    kernel: CLOUD_61,
    cpu: MAX_4,
    memory: '256M',
    cpus: 2,
    cmdline: 'maxcpus=1',
  },
  {
    name: 'k61-rt',
    about: 'PREEMPT_RT',
    kernel: RT_61,
    cpu: MAX_4,
    memory: '512M',
    cmdline: '',
  },
  {
    name: 'k61-stock-skylake',
    about: "Debian's stock kernel on a processor that needs page-table isolation",
    kernel: STOCK_61,
    cpu: 'Skylake-Client-v3',
    memory: '512M',
    cmdline: '',
    modules: ['kvm'],
  },
];

/** Guests that tell their symbols, for what reads those out of a dump: no fixture of tables is made of them. */
export const SYMBOL_GUESTS: readonly Guest[] = [
  { name: 'k61-symbols', kernel: CLOUD_61, cmdline: '' },
  { name: 'k61-symbols-nokaslr', kernel: CLOUD_61, cmdline: 'nokaslr' },
  { name: 'k612-symbols', kernel: CLOUD_612, cmdline: '' },
  { name: 'k61-stock-symbols', kernel: STOCK_61, cmdline: '' },
  { name: 'k510-symbols', kernel: CLOUD_510, cmdline: 'no_timer_check' },
].map((guest) => ({
  ...guest,
  about: 'symbols as the kernel itself lists them',
  cpu: MAX_4,
  memory: '512M',
  symbols: true,
  modules: MODULES,
  commands: ['echo 1 > /proc/sys/net/core/bpf_jit_enable', 'echo 1 > /proc/sys/net/core/bpf_jit_kallsyms'],
}));

/** What schedules packets, and ciphers: with what they need more than a hundred modules. */
const MANY_MODULES = [
  ...['connmark', 'bpf', 'csum', 'ct', 'ctinfo', 'gact', 'gate', 'ife', 'mirred', 'mpls', 'nat', 'pedit'],
  ...['police', 'sample', 'simple', 'skbedit', 'skbmod', 'tunnel_key', 'vlan'],
]
  .map((name) => `act_${name}`)
  .concat(
    ['basic', 'bpf', 'cgroup', 'flow', 'flower', 'fw', 'matchall', 'route', 'u32'].map(
      (name) => `cls_${name}`,
    ),
    [
      ...['cake', 'cbs', 'choke', 'codel', 'drr', 'etf', 'ets', 'fq', 'fq_pie', 'gred', 'hfsc', 'hhf', 'htb'],
      ...[
        'ingress',
        'mqprio',
        'multiq',
        'netem',
        'pie',
        'plug',
        'prio',
        'qfq',
        'red',
        'sfb',
        'sfq',
        'skbprio',
      ],
      ...['taprio', 'tbf', 'teql'],
    ].map((name) => `sch_${name}`),
    ['cmp', 'ipset', 'meta', 'nbyte', 'text', 'u32'].map((name) => `em_${name}`),
    [
      'adiantum',
      'aegis128',
      'authencesn',
      'blowfish_generic',
      'camellia_generic',
      'cast5_generic',
      'cast6_generic',
    ],
    [
      'ccm',
      'chacha20poly1305',
      'cmac',
      'cts',
      'echainiv',
      'essiv',
      'fcrypt',
      'keywrap',
      'lrw',
      'lz4',
      'lz4hc',
    ],
    [
      'md4',
      'michael_mic',
      'pcbc',
      'pcrypt',
      'rmd160',
      'serpent_generic',
      'streebog_generic',
      'twofish_generic',
    ],
    ['vmac', 'wp512', 'xcbc', 'xts', 'xxhash_generic', 'zstd', 'overlay', 'xfs', 'nf_tables'],
  );

/** Guests whose code is counted byte by byte (`pnpm text-bytes`): no fixture of tables is made of them. */
export const TEXT_GUESTS: readonly Guest[] = [
  { name: 'k61-many-modules', kernel: CLOUD_61, cpu: 'EPYC-Rome', cpus: 2 },
  { name: 'k612-many-modules', kernel: CLOUD_612, cpu: MAX_4, cpus: 2 },
].map((guest) => ({
  ...guest,
  about: 'more than a hundred modules, two processors',
  memory: '512M',
  cmdline: '',
  modules: MANY_MODULES,
}));
