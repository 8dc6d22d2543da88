import { join } from 'node:path';
import type { Guest } from '../guest.ts';
import { CLOUD_61, CLOUD_612 } from '../guests.ts';

/** Tools of Debian's libbpf-tools, compiled by clang: their programs stay loaded while they run. */
const TOOLS = [
  'biolatency',
  'execsnoop',
  'exitsnoop',
  'filelife',
  'mountsnoop',
  'opensnoop',
  'syscount',
  'tcpconnect',
  'tcplife',
  'tcpstates',
];

/** A source, seen from the compiled program. */
const PROGRAMS = join(import.meta.dirname, '../../src/jit/bpf-programs.c');

/** Guests with eBPF programs and classic filters of many kinds, for what their kernels' JIT makes of them. */
export const JIT_GUESTS: readonly Guest[] = [
  { name: 'k61-jit', kernel: CLOUD_61, cpu: 'EPYC-Rome', harden: 0 },
  { name: 'k61-jit-hardened', kernel: CLOUD_61, cpu: 'Skylake-Client-v3', harden: 2 },
  { name: 'k612-jit', kernel: CLOUD_612, cpu: 'EPYC-Rome', harden: 1 },
  { name: 'k612-jit-hardened', kernel: CLOUD_612, cpu: 'Skylake-Client-v3', harden: 2 },
].map(({ harden, ...guest }) => ({
  ...guest,
  about: `compiled eBPF programs, bpf_jit_harden = ${harden}`,
  memory: '512M',
  cmdline: '',
  files: {
    '/bin/bpf-programs': PROGRAMS,
    ...Object.fromEntries(TOOLS.map((tool) => [`/sbin/${tool}`, `libbpf-tools:/usr/sbin/${tool}`])),
  },
  commands: [
    'mount -t debugfs debug /sys/kernel/debug',
    'ip link set lo up',
    'echo 1 > /proc/sys/net/core/bpf_jit_kallsyms',
    `echo ${harden} > /proc/sys/net/core/bpf_jit_harden`,
    'bpf-programs > /tmp/programs 2>&1 &',
    ...TOOLS.map((tool) => `/sbin/${tool} > /dev/null 2> /tmp/${tool} &`),
    // Each tool reads the kernel's types, which takes a while under TCG.
    'n=0; while [ $n != "$(ls -l /proc/[0-9]*/fd | grep -c bpf-prog)" ] || ! grep -q ready /tmp/programs; do n=$(ls -l /proc/[0-9]*/fd | grep -c bpf-prog); sleep 20; done',
    'echo 0 > /proc/sys/net/core/bpf_jit_harden',
    'grep -v Lost /tmp/* > /dev/ttyS0',
  ],
}));
