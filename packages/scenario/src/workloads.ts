import type { ComposedScenario } from './composed-scenario.ts';

/** Legitimate work of a kernel: a scenario whose machine says what it needs beyond the ordinary. */
export interface Workload extends ComposedScenario {
  readonly name: string;
  readonly title: string;
}

/** Work that protection must not break. */
export const WORKLOADS: readonly Workload[] = [
  {
    name: 'module-load',
    title: 'load a module with static calls, load another on freed pages, unload both',
    machine: {},
    steps: [
      { do: 'load-module', name: 'first', staticCalls: 4 },
      { do: 'churn-modules', count: 3 },
      { do: 'load-module', name: 'second', text: 6 },
      { do: 'unload-module', name: 'first' },
      { do: 'unload-module', name: 'second' },
    ],
  },
  {
    name: 'jit',
    title: 'compile eBPF programs into a pack, and free them',
    machine: {},
    steps: [
      { do: 'load-bpf', name: 'filter' },
      { do: 'load-bpf', name: 'tracer', size: 5000 },
      { do: 'unload-bpf', name: 'filter' },
      { do: 'churn-bpf', count: 3 },
    ],
  },
  {
    name: 'jit-boot-pack',
    title: 'compile an eBPF program into the pack that one of boot is in, as every Debian kernel does',
    // With one processor the first pages of the pack would be those of the list of lock prefixes, which B-G4 leaves writable.
    machine: { vcpus: 2 },
    initcalls: [{ do: 'load-bpf', name: 'sockets' }],
    steps: [
      { do: 'load-bpf', name: 'filter' },
      { do: 'unload-bpf', name: 'filter' },
    ],
  },
  {
    name: 'ftrace-module',
    title: 'trace functions of a module',
    machine: {},
    steps: [{ do: 'load-module', name: 'm' }, { do: 'trace', on: 'm' }, { do: 'untrace' }],
  },
  {
    name: 'ftrace-kernel',
    title: 'trace functions of the kernel image',
    machine: {},
    steps: [{ do: 'trace', on: 'kernel' }, { do: 'untrace' }],
  },
  {
    name: 'kprobe-module',
    title: 'probe a function of a module, by int3 and by a jump',
    machine: {},
    steps: [
      { do: 'load-module', name: 'm' },
      { do: 'probe', on: 'm' },
      { do: 'unprobe', on: 'm' },
      { do: 'probe', on: 'm', optimized: true },
      { do: 'unprobe', on: 'm' },
    ],
  },
  {
    name: 'kprobe-kernel',
    title: 'probe a function of the kernel image',
    machine: {},
    steps: [
      { do: 'probe', on: 'kernel' },
      { do: 'unprobe', on: 'kernel' },
    ],
  },
  {
    name: 'static-key-kernel',
    title: 'switch a static key in the kernel image',
    machine: {},
    steps: [{ do: 'static-key', on: 'kernel', enabled: true }],
  },
  {
    name: 'cpu-hotplug',
    title: 'take a processor down and bring it up again, through the trampoline',
    machine: { vcpus: 2 },
    steps: [
      { do: 'cpu-down', cpu: 1 },
      { do: 'cpu-up', cpu: 1 },
    ],
  },
  {
    name: 'suspend',
    title: 'suspend to RAM and resume',
    machine: { vcpus: 2 },
    steps: [{ do: 'suspend' }],
  },
  {
    name: 'kexec',
    title: 'hand over to another kernel',
    machine: {},
    // Frees of boot are used up first: the pages of a kernel that has run for a while are known to the direct map only.
    steps: [{ do: 'vmalloc', name: 'area', pages: 3000 }, { do: 'kexec' }],
  },
  {
    name: 'memory-hotplug',
    title: 'plug memory in, use it, unplug it, and plug it in again',
    machine: { pluggable: 1 },
    steps: [
      { do: 'plug-memory' },
      { do: 'churn-modules', count: 2 },
      { do: 'unplug-memory' },
      { do: 'plug-memory' },
      { do: 'churn-modules', count: 2 },
    ],
  },
  {
    name: 'balloon',
    title: 'give pages to the host and take them back',
    machine: {},
    steps: [
      { do: 'balloon', pages: 512 },
      { do: 'churn-modules', count: 1 },
    ],
  },
  {
    name: 'vmalloc',
    title: 'map memory, make it read-only and writable again, and free it',
    machine: {},
    steps: [
      { do: 'vmalloc', name: 'area', pages: 64 },
      { do: 'set-memory', name: 'area', what: 'ro' },
      { do: 'set-memory', name: 'area', what: 'rw' },
      { do: 'vfree', name: 'area' },
    ],
  },
  {
    name: 'processes',
    title:
      'run programs that write code of their own, on pages that a module has freed, and load a module on theirs',
    machine: {},
    steps: [
      { do: 'load-module', name: 'first', text: 8 },
      { do: 'unload-module', name: 'first' },
      { do: 'start-process', name: 'browser', text: 8, data: 8, jit: 4 },
      { do: 'run-process', name: 'browser' },
      { do: 'load-module', name: 'second' },
      { do: 'run-process', name: 'browser' },
      { do: 'end-process', name: 'browser' },
      { do: 'churn-modules', count: 2 },
    ],
  },
];
