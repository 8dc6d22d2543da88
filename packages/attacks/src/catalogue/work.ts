import { compiledProgram, type KernelOutcome, type LinuxKernel } from '@heki/linux';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { MODULE_FUNCTIONS } from '../kernel/functions.ts';
import { loadedModule, offset } from './stores.ts';

/** One of the kernel's functions, in the middle of its work. */
type Step = (kernel: LinuxKernel) => KernelOutcome<unknown>;

/** Work of the kernel's own: it goes on where each step is done. */
function work(
  name: string,
  title: string,
  steps: (lab: Lab) => readonly (readonly [what: string, step: Step])[],
): LabAttack {
  return {
    name,
    title,
    gains: 'the kernel does its work',
    source: 'Linux 6.6, docs/workloads.md',
    means: ['kernel functions'],
    stoppedBy: [],
    legitimate: true,
    run(lab) {
      let done = false;
      lab.aims.register('whether every step is done', () => (done ? 1n : 0n));
      done = steps(lab).every(
        ([what, step]) =>
          lab.call(what, (kernel) => {
            const outcome = step(kernel);
            return outcome.kind === 'done' ? { kind: 'done', value: true } : outcome;
          }) === true,
      );
    },
  };
}

/** Legitimate work that protection may take away: beside the attacks that a machine stops, what it costs. */
export const WORK: readonly LabAttack[] = [
  work('trace-own-module', 'trace a function of a module, and stop', (lab) => {
    const site = offset(loadedModule(lab), MODULE_FUNCTIONS.traced);
    return [
      ['register_ftrace_function', (kernel) => kernel.ftraceEnable([site])],
      ['unregister_ftrace_function', (kernel) => kernel.ftraceDisable([site])],
    ];
  }),
  work('trace-own-kernel', 'trace a function of the kernel, and stop', ({ places: { tracedSite } }) => [
    ['register_ftrace_function', (kernel) => kernel.ftraceEnable([tracedSite])],
    ['unregister_ftrace_function', (kernel) => kernel.ftraceDisable([tracedSite])],
  ]),
  work('probe-own-module', 'set a kprobe in a module, and take it away', (lab) => {
    const check = offset(loadedModule(lab), MODULE_FUNCTIONS.check);
    return [
      ['register_kprobe', (kernel) => kernel.registerKprobe(check)],
      ['unregister_kprobe', (kernel) => kernel.unregisterKprobe(check)],
    ];
  }),
  work('probe-own-kernel', 'set a kprobe in the kernel, and take it away', ({ places: { check } }) => [
    ['register_kprobe', (kernel) => kernel.registerKprobe(check)],
    ['unregister_kprobe', (kernel) => kernel.unregisterKprobe(check)],
  ]),
  work('switch-own-key', 'switch a static key of the kernel', ({ places: { keySite } }) => [
    ['static_key_enable', (kernel) => kernel.setStaticKey([keySite], true)],
    ['static_key_disable', (kernel) => kernel.setStaticKey([keySite], false)],
  ]),
  work('run-bpf', 'compile two eBPF programs, and free one', () => {
    const code = compiledProgram(256);
    return [
      ['compile an eBPF program', (kernel) => kernel.loadBpfProgram(code)],
      [
        'compile another, and free it',
        (kernel) => {
          const program = kernel.loadBpfProgram(code);
          return program.kind === 'done' ? kernel.unloadBpfProgram(program.value) : program;
        },
      ],
    ];
  }),
  work('start-own-processor', 'take the second processor down, and start it again', () => [
    ['cpu_down', (kernel) => kernel.cpuDown(1)],
    ['cpu_up', (kernel) => kernel.cpuUp(1)],
  ]),
  work('sleep-and-resume', 'suspend to RAM with one processor, and resume', () => [
    ['cpu_down', (kernel) => kernel.cpuDown(1)],
    ['suspend', (kernel) => kernel.suspend()],
  ]),
  work('hand-over', 'hand over to another kernel (kexec)', () => [['kexec', (kernel) => kernel.kexec()]]),
  work('take-plugged-memory', 'take memory that was plugged in, and give it up', (lab) => {
    const section = lab.machine.plugMemory() ?? lab.notExpressible('no memory can be plugged in');
    return [
      ['add_memory', (kernel) => kernel.addMemory(section)],
      ['remove_memory', (kernel) => kernel.removeMemory(section)],
    ];
  }),
  work('protect-own-page', 'make a page read-only and writable again, and free it', (lab) => {
    const page = lab.page();
    return [
      ['set_memory_ro', (kernel) => kernel.setMemory('ro', page, 1)],
      ['set_memory_rw', (kernel) => kernel.setMemory('rw', page, 1)],
      ['vfree', (kernel) => kernel.vfree(page)],
    ];
  }),
  {
    name: 'run-program',
    title: 'a user program runs code that it has written itself',
    gains: 'programs with a compiler of their own work',
    source: 'every Linux system',
    means: ['user program'],
    stoppedBy: [],
    legitimate: true,
    run(lab) {
      const page = lab.page();
      const mapped = lab.userMapping(lab.frameOf(page));
      lab.aims.code(3);
      lab.plant(page);
      lab.cpu.asUser(() => lab.cpu.run(mapped));
    },
  },
  {
    name: 'run-guest',
    title: 'the guest runs a guest of its own (nested virtualization)',
    gains: 'virtual machines inside the guest work',
    source: 'KVM, nested virtualization is on since 4.20',
    means: [],
    stoppedBy: [],
    legitimate: true,
    run(lab) {
      let ran = false;
      lab.aims.register('whether the guest ran', () => (ran ? 1n : 0n));
      lab.nestedGuest(() => {
        ran = true;
      });
    },
  },
  {
    name: 'read-own-text',
    title: 'read kernel text by the direct map, as perf and crash dumps do',
    gains: 'profilers and dumps see what runs',
    source: 'Linux, copy_from_kernel_nofault',
    means: [],
    stoppedBy: [],
    legitimate: true,
    run(lab) {
      const { check } = lab.places;
      const alias = lab.direct(lab.frameOf(check), Number(check % 4096n));
      let read: bigint | undefined;
      lab.aims.register('what was read', () => read ?? 0n);
      read = lab.cpu.load(alias, 8).value;
    },
  },
];
