import { Errno } from '@heki/hypercall/errno';
import {
  type Gfn,
  hex,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import { STEP_FUNCTIONS } from './boot/boot.ts';
import { createBootAllocator } from './boot/boot-allocator.ts';
import { createBootMemory } from './boot/boot-memory.ts';
import { parseCommandLine } from './boot/boot-parameters.ts';
import { BOOT_STEPS, type BootStep } from './boot/boot-steps.ts';
import { createBpfPrograms, loadBpfProgram, packedPages, unloadBpfProgram } from './bpf/prog-pack.ts';
import { KERNEL_SITES } from './code/signed-sites.ts';
import { linuxDefects } from './defects/linux-defects.ts';
import { LinuxError } from './error.ts';
import { copyFromKernelNofault, copyToKernelNofault, withFixups } from './faults/nofault.ts';
import { reportOops } from './faults/oops.ts';
import { createFtrace, ftraceDisable, ftraceEnable } from './ftrace/ftrace.ts';
import { createHekiKernel } from './heki/heki-kernel.ts';
import { isHekiSymbol, placeHeki } from './heki/heki-symbols.ts';
import type { KernelState } from './kernel-state.ts';
import { kexec } from './kexec/kexec.ts';
import { createKprobes, registerKprobe, unregisterKprobe } from './kprobes/kprobes.ts';
import { checkBuild, DEBIAN_6_1 } from './layout/kernel-build.ts';
import { createKernelImage } from './layout/kernel-image.ts';
import { checkLayout, createLayout } from './layout/layout.ts';
import type { KernelArea, LinuxKernel, LinuxKernelOptions, SetMemory } from './linux-kernel.ts';
import { addMemory, removeMemory } from './memory-hotplug/memory-hotplug.ts';
import { createPageAllocator } from './mm/page-allocator.ts';
import { PageTables } from './mm/page-tables.ts';
import * as set from './mm/set-memory.ts';
import type { VmArea } from './mm/vm-area.ts';
import { createVmalloc, ioremap, PAGE_KERNEL, vfree, vmalloc, vmap } from './mm/vmalloc.ts';
import { loadModule, type ModuleState, unloadModule } from './modules/modules.ts';
import { attempt, fail, type KernelOutcome } from './outcome.ts';
import { endProcess, runProcess, startProcess } from './process/processes.ts';
import { cpuDown, cpuUp, onProcessor, suspend } from './smp/processors.ts';
import { createTurns } from './smp/turns.ts';
import { setStaticKey, updateStaticCall } from './static-branches/static-branches.ts';
import { pokeInt3Handler } from './text/poke-int3-handler.ts';
import { isPokeSymbol, placePokeDescriptor } from './text/poke-symbols.ts';
import { textPoke } from './text/text-poke.ts';
import { textPokeBatch } from './text/text-poke-batch.ts';
import { textPokeEarly } from './text/text-poke-early.ts';

const SET_MEMORY: { readonly [what in SetMemory]: typeof set.setMemoryRo } = {
  ro: set.setMemoryRo,
  rw: set.setMemoryRw,
  rox: set.setMemoryRox,
  x: set.setMemoryX,
  nx: set.setMemoryNx,
  np: set.setMemoryNp,
  np_noalias: set.setMemoryNpNoalias,
  p: set.setMemoryP,
};

/** The state of a kernel before the first step of its boot. */
function createState(options: LinuxKernelOptions): KernelState {
  const { vcpu, memory: physicalMemory, memoryMap, onEvent, levels = 4, refuseWx = true } = options;
  const build = checkBuild(options.build ?? DEBIAN_6_1);
  const parameters = parseCommandLine(options.commandLine ?? '');
  const kaslrSeed = parameters.kaslr ? options.kaslrSeed : undefined;
  const layout = checkLayout(options.layout ?? createLayout({ levels, build, memoryMap, kaslrSeed }));
  const image = createKernelImage(build, layout);
  const boot = createBootAllocator(memoryMap, [
    { start: layout.textFrame, end: image.guestFrame(image.end) },
  ]);
  const pages = createPageAllocator();
  const emit = onEvent ?? (() => {});
  const tables = new PageTables({
    root: image.guestFrame(image.frame('init_top_pgt')),
    levels: layout.levels,
    memory: () => state.memory,
    allocate: () => (state.pagesReady ? pages.allocate() : boot.allocate()),
    free: (frame) => {
      if (state.pagesReady) pages.free(frame);
    },
    onSplit: (frame, level) => emit({ type: 'leaf-split', frame, level }),
  });
  const turns = createTurns(options.interleave);
  const defects = defectSwitches(linuxDefects, options.hooks ?? 'hardened', options.defects);
  const hekiPlaces = placeHeki(build, layout, defects['B-G17']);
  const pokePlaces = placePokeDescriptor(build, layout);
  const common = { build, layout, parameters, memoryMap, image, physicalMemory, tables };
  const state: KernelState = {
    ...common,
    boot,
    pages,
    vcpu,
    processors: {
      possible: [vcpu, ...(options.secondaryVcpus ?? [])],
      online: new Set([vcpu]),
      init: options.sendInit ?? ((target) => target.init()),
    },
    turns,
    vmalloc: createVmalloc(layout),
    heki: options.heki?.(createHekiKernel(common, hekiPlaces, () => state)),
    hekiPlaces,
    pokePlaces,
    hekiInit: {},
    initHypervisorPlatform: options.initHypervisorPlatform,
    defects,
    jumpLabels: jumpLabelsOf(options, image.address('_text')),
    presentSignature: options.presentSignature,
    moduleFile: options.moduleFile,
    signedSites: options.signedSites ?? KERNEL_SITES,
    sealed: undefined,
    refuseWx,
    kaslrSeed,
    emit,
    memory: createBootMemory(physicalMemory, layout),
    over: false,
    memoryEnd: memoryMap.ramEnd,
    addedSections: [],
    pagesReady: false,
    booting: true,
    setToReadonly: false,
    trampoline: 0 as Gfn,
    hasFixup: false,
    poking: undefined,
    ftrace: createFtrace(),
    kprobes: createKprobes(),
    bpf: createBpfPrograms(),
    processes: new Map(),
  };
  return state;
}

function jumpLabelsOf({ jumpLabels = [] }: LinuxKernelOptions, text: VirtualAddress): VirtualAddress[] {
  return jumpLabels.map((offset) => {
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw new LinuxError(`a jump label at ${offset}: expected an offset from _text`);
    }
    return (text + BigInt(offset)) as VirtualAddress;
  });
}

/**
 * A kernel that has not booted yet.
 *
 * @throws {LinuxError} when the build or the layout is impossible, or memory has no room for the image
 */
export function createLinuxKernel(options: LinuxKernelOptions): LinuxKernel {
  const state = createState(options);
  const modules = new Map<string, ModuleState>();
  let next = 0;
  let stopped: KernelOutcome | undefined;

  const attemptAndReport = <Value>(body: () => Value): KernelOutcome<Value> => {
    const outcome = attempt(body);
    if (outcome.kind === 'oops') reportOops(state, outcome);
    return outcome;
  };
  /** Runs a function of the kernel, which needs the page allocator. */
  const run = <Value>(body: () => Value): KernelOutcome<Value> => {
    if (!state.pagesReady) {
      throw new LinuxError(`boot has not come past mem_init yet: the next step is ${BOOT_STEPS[next]?.step}`);
    }
    if (state.turns.taken) {
      throw new LinuxError(
        'another processor is in a function of the kernel: accesses alone can come between',
      );
    }
    if (state.over) throw new LinuxError('this kernel is over: another one runs since kexec');
    return attemptAndReport(body);
  };
  const effect = (body: () => void): KernelOutcome => {
    const outcome = run(body);
    return outcome.kind === 'done' ? { kind: 'done', value: undefined } : outcome;
  };
  const area = (body: () => VmArea): KernelOutcome<KernelArea> =>
    run(() => {
      const { start, pages } = body();
      return { address: virtualAddressOf(start), pages };
    });

  return {
    build: state.build,
    layout: state.layout,
    pageTableRoot: state.tables.root,
    heki: state.heki,
    hekiInit: state.hekiInit,
    get nextStep() {
      return BOOT_STEPS[next]?.step;
    },
    get trampoline() {
      return state.trampoline;
    },
    yieldToOthers() {
      if (state.vcpu.left) state.turns.take();
    },
    get vcpu() {
      return state.vcpu;
    },
    get onlineCpus() {
      const { possible, online } = state.processors;
      return [...possible.keys()].filter((number) => online.has(possible[number] ?? state.vcpu));
    },
    get freeFrames() {
      return state.pages.freeFrames;
    },
    get setToReadonly() {
      return state.setToReadonly;
    },
    set setToReadonly(value) {
      state.setToReadonly = value;
    },
    boot({ before } = {}) {
      const end = before === undefined ? BOOT_STEPS.length : stepIndex(before);
      while (next < end && stopped === undefined) {
        const step = BOOT_STEPS[next]?.step;
        if (step === undefined) break;
        options.onStep?.(step);
        state.emit({ type: 'boot-step', step });
        const outcome = attemptAndReport(() => STEP_FUNCTIONS[step](state));
        if (outcome.kind !== 'done') stopped = outcome;
        next++;
      }
      return stopped ?? { kind: 'done', value: undefined };
    },
    address(symbol) {
      if (isHekiSymbol(symbol)) return state.hekiPlaces[symbol];
      return isPokeSymbol(symbol) ? state.pokePlaces[symbol] : state.image.address(symbol);
    },

    setMemory(what, address, pages) {
      const start = checkRange(address, pages);
      return effect(() => SET_MEMORY[what](state, start, pages));
    },
    setDirectMap: (what, frame) =>
      effect(() => (what === 'invalid' ? set.setDirectMapInvalid : set.setDirectMapDefault)(state, frame)),

    allocatePages: (order = 0) =>
      run(() => state.pages.allocate(order) ?? fail(Errno.ENOMEM, `no 2^${order} pages in a row`)),
    freePages: (frame, order = 0) => state.pages.free(frame, order),
    vmalloc: (pages) => area(() => vmalloc(state, checkPages(pages))),
    vmap: (frames) => area(() => vmap(state, [...frames], PAGE_KERNEL)),
    ioremap: (frame, pages) => area(() => ioremap(state, frame, checkPages(pages))),
    vfree: (address) =>
      effect(() => {
        const found = state.vmalloc.areas.get(virtualFrameOf(address));
        vfree(state, found ?? fail(Errno.EINVAL, `Trying to vfree() nonexistent vm area (${hex(address)})`));
      }),

    get hasFixup() {
      return state.hasFixup;
    },
    withFixups: (body) => withFixups(state, body),
    copyFromKernelNofault: (address, length) => run(() => copyFromKernelNofault(state, address, length)),
    copyToKernelNofault: (address, bytes) => effect(() => copyToKernelNofault(state, address, bytes)),

    textPoke: (address, bytes) => effect(() => textPoke(state, address, bytes)),
    onCpu: (number, body) => run(() => onProcessor(state, number, body)),
    cpuUp: (number) => effect(() => cpuUp(state, number)),
    cpuDown: (number) => effect(() => cpuDown(state, number)),
    suspend: () => effect(() => suspend(state)),
    textPokeEarly: (address, bytes) => effect(() => textPokeEarly(state, address, bytes)),
    kexec: () => effect(() => kexec(state)),
    addMemory: (range) => effect(() => addMemory(state, range)),
    removeMemory: (range) => effect(() => removeMemory(state, range)),
    textPokeBatch: (patches) => effect(() => textPokeBatch(state, patches)),
    pokeInt3Handler: (processor, address) => pokeInt3Handler(state, processor, address),
    setStaticKey: (sites, enabled) => effect(() => setStaticKey(state, sites, enabled)),
    updateStaticCall: (sites, target) => effect(() => updateStaticCall(state, sites, target)),
    ftraceEnable: (sites) => effect(() => ftraceEnable(state, sites)),
    ftraceDisable: (sites) => effect(() => ftraceDisable(state, sites)),
    registerKprobe: (address, { optimized = false } = {}) =>
      effect(() => registerKprobe(state, address, optimized)),
    unregisterKprobe: (address) => effect(() => unregisterKprobe(state, address)),
    loadBpfProgram: (code) => run(() => loadBpfProgram(state, code)),
    unloadBpfProgram: (address) => effect(() => unloadBpfProgram(state, address)),
    get bpfPages() {
      return packedPages(state.bpf);
    },
    loadModule: (image) => run(() => loadModule(state, modules, image)),
    unloadModule: (name) => effect(() => unloadModule(state, modules, name)),
    startProcess({ text, data, jit }) {
      const program = {
        text: checkPages(text),
        data: checkPages(data),
        jit: jit === 0 ? 0 : checkPages(jit),
      };
      return run(() => startProcess(state, program));
    },
    runProcess: (pid) => effect(() => runProcess(state, pid)),
    endProcess: (pid) => effect(() => endProcess(state, pid)),
  };
}

function stepIndex(step: BootStep): number {
  return BOOT_STEPS.findIndex((one) => one.step === step);
}

function checkPages(pages: number): number {
  if (!Number.isSafeInteger(pages) || pages < 1) throw new LinuxError(`${pages} pages: expected at least 1`);
  return pages;
}

function checkRange(address: VirtualAddress, pages: number): VirtualFrame {
  checkPages(pages);
  if (address % 4096n !== 0n)
    throw new LinuxError(`${hex(address)} is not a page: expected a multiple of 0x1000`);
  return virtualFrameOf(address);
}
