import { compiledProgram, type KernelOutcome, type ModuleImage } from '@heki/linux';
import { addressOf, type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { FailedDependencyError, ScenarioError } from './error.ts';
import { framesBehind, type Life } from './life.ts';
import type { Work } from './schema/step-schema.ts';

/** Five bytes that do nothing: what lies at a site that is to be patched. */
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];
/** Sites lie so far apart. */
const SITE_DISTANCE = 64;
/** The first site that livepatches take: those before are for whoever traces. */
const PATCHED = 40;
const NOTHING: KernelOutcome = { kind: 'done', value: undefined };

/**
 * Takes a step; its last outcome, or the first that is not `done`.
 *
 * @throws {ScenarioError} when the step names what no earlier one was to make
 * @throws {FailedDependencyError} when it names what an earlier one could not make
 */
export function runStep(life: Life, step: Work): KernelOutcome {
  const { kernel } = life.machine;
  switch (step.do) {
    case 'load-module':
      return loadModule(life, step.name, moduleImage(step));
    case 'unload-module':
      return unloadModule(life, step.name);
    case 'churn-modules':
      return repeat(step.count, () => {
        const outcome = loadModule(life, 'churn', moduleImage({ name: 'churn', staticCalls: 2 }));
        return outcome.kind === 'done' ? unloadModule(life, 'churn') : outcome;
      });
    case 'load-bpf':
      return loadBpf(life, step.name, step.size ?? 300);
    case 'unload-bpf':
      return unloadBpf(life, step.name);
    case 'churn-bpf':
      return repeat(step.count, () => {
        const outcome = loadBpf(life, 'churn', 300);
        return outcome.kind === 'done' ? unloadBpf(life, 'churn') : outcome;
      });
    case 'trace': {
      const sites = sitesIn(life, step.on).slice(0, step.functions ?? 3);
      return ifDone(kernel.ftraceEnable(sites), () => void life.traced.push(...sites));
    }
    case 'untrace':
      return ifDone(kernel.ftraceDisable(life.traced), () => void life.traced.splice(0));
    case 'probe':
      return kernel.registerKprobe(probeSite(life, step.on), { optimized: step.optimized ?? false });
    case 'unprobe':
      return kernel.unregisterKprobe(probeSite(life, step.on));
    case 'static-key':
      return kernel.setStaticKey([keySite(life, step.on)], step.enabled);
    case 'vmalloc':
      return made(life, step.name, kernel.vmalloc(step.pages), (area) => life.areas.set(step.name, area));
    case 'vfree':
      return ifDone(kernel.vfree(areaOf(life, step.name).address), () => void life.areas.delete(step.name));
    case 'set-memory': {
      const { address, pages } = areaOf(life, step.name);
      return kernel.setMemory(step.what, address, pages);
    }
    case 'cpu-up':
      return kernel.cpuUp(step.cpu);
    case 'cpu-down':
      return kernel.cpuDown(step.cpu);
    case 'suspend':
      return kernel.suspend();
    case 'plug-memory': {
      const section = life.machine.plugMemory() ?? missing(life, 'memory left to', 'plug in');
      life.plugged.push(section);
      return kernel.addMemory(section);
    }
    case 'unplug-memory': {
      const section = life.plugged.at(-1) ?? missing(life, 'memory to', 'unplug');
      return ifDone(kernel.removeMemory(section), () => {
        life.machine.unplugMemory(section);
        life.plugged.pop();
      });
    }
    case 'balloon':
      return balloon(life, step.pages);
    case 'kexec':
      return kernel.kexec();
    case 'livepatch': {
      const sites = sitesIn(life, step.on).slice(PATCHED, PATCHED + (step.functions ?? 3));
      const loaded = loadModule(life, step.name, moduleImage({ name: step.name, text: 1 }));
      if (loaded.kind !== 'done') return loaded;
      return ifDone(kernel.ftraceEnable(sites), () => void life.patched.set(step.name, sites));
    }
    case 'unlivepatch': {
      const sites = life.patched.get(step.name) ?? missing(life, 'livepatch', step.name);
      const restored = kernel.ftraceDisable(sites);
      if (restored.kind !== 'done') return restored;
      life.patched.delete(step.name);
      return unloadModule(life, step.name);
    }
    case 'start-process': {
      const { text = 2, data = 4, jit = 0 } = step;
      return made(life, step.name, kernel.startProcess({ text, data, jit }), (process) =>
        life.processes.set(step.name, process),
      );
    }
    case 'run-process':
      return kernel.runProcess(processOf(life, step.name).pid);
    case 'end-process':
      return ifDone(
        kernel.endProcess(processOf(life, step.name).pid),
        () => void life.processes.delete(step.name),
      );
    case 'exhaust-memory':
      while (kernel.freeFrames > step.leave) {
        const frame = kernel.allocatePages();
        if (frame.kind !== 'done') return withValue(frame, () => {});
        life.heldFrames.push(frame.value);
      }
      return NOTHING;
    case 'release-memory':
      for (const frame of life.heldFrames.splice(0)) kernel.freePages(frame);
      return NOTHING;
  }
}

/** virtio-balloon: pages that the kernel does not use go to the host, and come back empty. */
function balloon({ machine: { kernel, virtualMachine } }: Life, pages: number): KernelOutcome {
  const frames: Gfn[] = [];
  let outcome = NOTHING;
  while (frames.length < pages && outcome.kind === 'done') {
    const frame = kernel.allocatePages();
    if (frame.kind === 'done') {
      frames.push(frame.value);
      virtualMachine.write('vmm', addressOf(frame.value), new Uint8Array(PAGE_SIZE));
    } else outcome = frame;
  }
  for (const frame of frames) kernel.freePages(frame);
  return outcome;
}

function repeat(count: number, run: () => KernelOutcome): KernelOutcome {
  for (let turn = 0; turn < count; turn++) {
    const outcome = run();
    if (outcome.kind !== 'done') return outcome;
  }
  return NOTHING;
}

function ifDone(outcome: KernelOutcome, then: () => void): KernelOutcome {
  if (outcome.kind === 'done') then();
  return outcome;
}

function withValue<Value>(outcome: KernelOutcome<Value>, take: (value: Value) => void): KernelOutcome {
  if (outcome.kind !== 'done') return outcome;
  take(outcome.value);
  return NOTHING;
}

/** Remembers by `name` what a step made, or that it did not. */
function made<Value>(
  life: Life,
  name: string,
  outcome: KernelOutcome<Value>,
  take: (value: Value) => void,
): KernelOutcome {
  if (outcome.kind === 'done') life.failed.delete(name);
  else life.failed.add(name);
  return withValue(outcome, take);
}

/** A module of so many pages of each kind, with an init function, and no-ops at its sites. */
function moduleImage(of: {
  readonly name: string;
  readonly text?: number | undefined;
  readonly rodata?: number | undefined;
  readonly data?: number | undefined;
  readonly staticCalls?: number | undefined;
  readonly signed?: boolean | undefined;
}): ModuleImage {
  const staticCalls = of.staticCalls ?? 0;
  const sitesPerPage = PAGE_SIZE / SITE_DISTANCE;
  // The first page's sites are for whoever traces and probes.
  const text = new Uint8Array(Math.max(of.text ?? 4, 1 + Math.ceil(staticCalls / sitesPerPage)) * PAGE_SIZE);
  // No signed module has this code.
  text.fill(of.signed === false ? 0xcc : 0x90);
  for (let at = 0; at < text.length; at += SITE_DISTANCE) text.set(NOP5, at);
  return {
    name: of.name,
    signed: of.signed ?? true,
    memory: {
      text,
      rodata: new Uint8Array((of.rodata ?? 2) * PAGE_SIZE).fill(0x11),
      data: new Uint8Array((of.data ?? 2) * PAGE_SIZE),
      ro_after_init: new Uint8Array(64),
      init_text: new Uint8Array(PAGE_SIZE).fill(0x90),
    },
    sites: {
      traceable: Array.from({ length: sitesPerPage }, (_, index) => index * SITE_DISTANCE),
      staticCalls: Array.from({ length: staticCalls }, (_, index) => PAGE_SIZE + index * SITE_DISTANCE),
    },
  };
}

function loadModule(life: Life, name: string, image: ModuleImage): KernelOutcome {
  return made(life, name, life.machine.kernel.loadModule({ ...image, name }), (module) =>
    life.modules.set(name, module),
  );
}

function unloadModule(life: Life, name: string): KernelOutcome {
  const module = life.modules.get(name) ?? missing(life, 'module', name);
  const frames = [...module.memory.values()].flatMap(({ address, pages }) =>
    framesBehind(life.machine, address, pages),
  );
  return ifDone(life.machine.kernel.unloadModule(name), () => {
    life.modules.delete(name);
    for (const frame of frames) life.freed.add(frame);
  });
}

function loadBpf(life: Life, name: string, size: number): KernelOutcome {
  const outcome = life.machine.kernel.loadBpfProgram(compiledProgram(size));
  return made(life, name, outcome, (address) => life.programs.set(name, address));
}

function unloadBpf(life: Life, name: string): KernelOutcome {
  const address = life.programs.get(name) ?? missing(life, 'program', name);
  const frames = framesBehind(life.machine, address, 1);
  return ifDone(life.machine.kernel.unloadBpfProgram(address), () => {
    life.programs.delete(name);
    for (const frame of frames) life.freed.add(frame);
  });
}

function processOf(life: Life, name: string) {
  return life.processes.get(name) ?? missing(life, 'process', name);
}

function areaOf(life: Life, name: string) {
  return life.areas.get(name) ?? missing(life, 'area', name);
}

function missing(life: Life, what: string, name: string): never {
  if (life.failed.has(name))
    throw new FailedDependencyError(`there is no ${what} ${name}: it could not be made`);
  throw new ScenarioError(`there is no ${what} ${name}: an earlier step must make it`);
}

/** Sites of text that are no-ops of five bytes. */
function sitesIn(life: Life, on: string): VirtualAddress[] {
  const text =
    on === 'kernel'
      ? life.machine.kernel.address('_text')
      : (life.modules.get(on) ?? missing(life, 'module', on)).memory.get('text')?.address;
  const start = text ?? missing(life, 'text in module', on);
  const sites = PAGE_SIZE / SITE_DISTANCE;
  return Array.from(
    { length: sites },
    (_, index) => (start + BigInt(index * SITE_DISTANCE)) as VirtualAddress,
  );
}

/** The static key of the kernel that steps switch: its jump label, by its offset from `_text`. */
export const KERNEL_JUMP_LABELS: readonly number[] = [(PAGE_SIZE / SITE_DISTANCE - 2) * SITE_DISTANCE];

/** Those that trace does not use first. */
const probeSite = (life: Life, on: string): VirtualAddress =>
  sitesIn(life, on).at(-1) ?? missing(life, 'text in', on);
const keySite = (life: Life, on: string): VirtualAddress =>
  sitesIn(life, on).at(-2) ?? missing(life, 'text in', on);
