import { Errno } from '@heki/hypercall/errno';
import { PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { initDoneSealed, loadSealed, retireSealed } from '../code/sealed-code.ts';
import { type FtraceState, forgetFtraceSites } from '../ftrace/ftrace.ts';
import { freeModuleInit, unloadValidated, validateModule } from '../heki/secure-kernel.ts';
import { forgetKprobes, type KprobesState } from '../kprobes/kprobes.ts';
import { setMemoryNx, setMemoryRo, setMemoryX } from '../mm/set-memory.ts';
import type { VmArea } from '../mm/vm-area.ts';
import { moduleAlloc, vfree } from '../mm/vmalloc.ts';
import { fail, KernelStop } from '../outcome.ts';
import { staticCallPatches, staticKeyPatches } from '../static-branches/site-patches.ts';
import { setStaticKey, updateStaticCall } from '../static-branches/static-branches.ts';
import { JUMP_LENGTH, NOP5 } from '../text/instructions.ts';
import type { TextPatch } from '../text/text-patch.ts';
import { textPoke } from '../text/text-poke.ts';
import { textPokeEarly } from '../text/text-poke-early.ts';
import { MODULE_MEMORY, type ModuleImage, type ModuleMemory, type ModuleSites } from './module-image.ts';

/** A module in the kernel. */
export interface LoadedModule {
  readonly name: string;
  /** Where each kind of memory lies, as long as it is there: init memory goes after init. */
  readonly memory: ReadonlyMap<ModuleMemory, { readonly address: VirtualAddress; readonly pages: number }>;
}

/** What the loader of modules needs: text, and what probes and tracing keep of it. */
type ModulesState = FtraceState & KprobesState;

/** A module and its areas. */
export interface ModuleState {
  readonly module: LoadedModule;
  readonly areas: Map<ModuleMemory, VmArea>;
  /** By which a secure kernel knows it. */
  readonly token: number | undefined;
  /** By which whoever owns sealed code knows it. */
  readonly code: number | undefined;
}

type Places = { readonly [kind in keyof Required<ModuleSites>]: readonly VirtualAddress[] };

/** A prefix without effect, in place of a lock prefix. */
const DS_PREFIX = Uint8Array.of(0x3e);
const TEXT: readonly ModuleMemory[] = ['text', 'init_text'];
const DATA = MODULE_MEMORY.filter((type) => !TEXT.includes(type));
const READ_ONLY: readonly ModuleMemory[] = ['text', 'init_text', 'rodata', 'init_rodata'];
const INIT = MODULE_MEMORY.filter((type) => type.startsWith('init_'));
/** What a module's data refers to goes last (`free_mod_mem`). */
const FREED = [...MODULE_MEMORY.filter((type) => type !== 'data'), 'data' as const];

/**
 * Loads a module as 6.6 does: memory for each kind, writable and not executable; its bytes; then `complete_formation`, init, and
 * the end of init, when its memory goes.
 *
 * @throws {KernelStop} -EEXIST, -ENOEXEC for an empty module, -ENOMEM, or an access that does not complete; an error leaves
 * nothing behind
 */
export function loadModule(
  kernel: ModulesState,
  modules: Map<string, ModuleState>,
  image: ModuleImage,
): LoadedModule {
  const { name, memory } = image;
  if (modules.has(name)) return fail(Errno.EEXIST, `module ${name} is loaded already`);
  const types = MODULE_MEMORY.filter((type) => (memory[type]?.length ?? 0) > 0);
  if (types.length === 0) return fail(Errno.ENOEXEC, `module ${name} has nothing in it`);

  const areas = new Map<ModuleMemory, VmArea>();
  let token: number | undefined;
  let code: number | undefined;
  try {
    for (const type of types) {
      const bytes = memory[type] ?? new Uint8Array();
      const area = moduleAlloc(kernel, Math.ceil(bytes.length / PAGE_SIZE));
      areas.set(type, area);
      if (kernel.sealed === undefined) kernel.memory.store(virtualAddressOf(area.start), bytes);
    }
    const places = placesOf(image, areas.get('text'));
    if (kernel.sealed === undefined) {
      patchUnformed(kernel, places);
      kernel.emit({ type: 'module', name, step: 'allocated' });
      const patches = comingPatches(kernel, places);
      if (image.signed !== false) {
        kernel.presentSignature?.(image, { loader: loaderChanges(image), patches: offsets(areas, patches) });
      }
      token = validateModule(kernel, name, areas, patches);
    } else {
      code = loadSealed(kernel, kernel.sealed, image, areas);
      kernel.emit({ type: 'module', name, step: 'allocated' });
      patchLocks(kernel, places);
    }
    completeFormation(kernel, areas);
    kernel.emit({ type: 'module', name, step: 'formed' });
    patchComing(kernel, places);
    const init = areas.get('init_text');
    if (init !== undefined) kernel.memory.fetch(virtualAddressOf(init.start), 1);
    enableRo(kernel, areas, true);
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') {
      unloadValidated(kernel, token);
      retireSealed(kernel, code);
      freeAreas(kernel, areas, FREED);
    }
    throw stop;
  }
  const module: LoadedModule = {
    name,
    get memory() {
      const places = [...areas].map(([type, { start, pages }]) => {
        return [type, { address: virtualAddressOf(start), pages }] as const;
      });
      return new Map(places);
    },
  };
  modules.set(name, { module, areas, token, code });
  kernel.emit({ type: 'module', name, step: 'live' });
  freeModuleInit(kernel, token);
  if (INIT.some((type) => areas.has(type))) initDoneSealed(kernel, code);
  freeAreas(kernel, areas, INIT);
  kernel.emit({ type: 'module', name, step: 'init-freed' });
  return module;
}

/** `free_module`. @throws {KernelStop} -ENOENT, or Heki's refusal */
export function unloadModule(kernel: ModulesState, modules: Map<string, ModuleState>, name: string): void {
  const state = modules.get(name);
  if (state === undefined) fail(Errno.ENOENT, `no module ${name}`);
  const text = state.module.memory.get('text');
  unloadValidated(kernel, state.token);
  retireSealed(kernel, state.code);
  freeAreas(kernel, state.areas, FREED);
  if (text !== undefined) {
    const end = (text.address + BigInt(text.pages * PAGE_SIZE)) as VirtualAddress;
    forgetFtraceSites(kernel, text.address, end);
    forgetKprobes(kernel, text.address, end);
  }
  modules.delete(name);
  kernel.emit({ type: 'module', name, step: 'unloaded' });
}

/** `complete_formation`: read-only what is, then no execution of data, then execution of text. */
function completeFormation(kernel: ModulesState, areas: ReadonlyMap<ModuleMemory, VmArea>): void {
  enableRo(kernel, areas, false);
  for (const type of DATA) change(kernel, areas, type, setMemoryNx);
  for (const type of TEXT) change(kernel, areas, type, setMemoryX);
}

/** The addresses of a module's sites. @throws {KernelStop} -ENOEXEC for one that is not in the text */
function placesOf({ name, memory, sites = {} }: ModuleImage, text: VmArea | undefined): Places {
  const size = memory.text?.length ?? 0;
  const at = (offsets: readonly number[] = [], length: number): VirtualAddress[] =>
    offsets.map((offset) => {
      if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size || text === undefined) {
        return fail(Errno.ENOEXEC, `module ${name}: a site at ${offset}, in ${size} bytes of text`);
      }
      return (virtualAddressOf(text.start) + BigInt(offset)) as VirtualAddress;
    });
  return {
    lockPrefixes: at(sites.lockPrefixes, 1),
    ftrace: at(sites.ftrace, JUMP_LENGTH),
    jumpLabels: at(sites.jumpLabels, JUMP_LENGTH),
    staticCalls: at(sites.staticCalls, JUMP_LENGTH),
    traceable: at(sites.traceable, JUMP_LENGTH),
  };
}

/** `alternatives_smp_module_add`, which uses `text_poke` even while the module is plain data. */
function patchLocks(kernel: ModulesState, { lockPrefixes }: Places): void {
  if (kernel.processors.possible.length > 1) return;
  for (const address of lockPrefixes) textPoke(kernel, address, DS_PREFIX);
}

/** While the module is plain data: its lock prefixes, and `ftrace_module_init`. */
function patchUnformed(kernel: ModulesState, places: Places): void {
  patchLocks(kernel, places);
  const { ftrace } = places;
  for (const address of ftrace) textPokeEarly(kernel, address, NOP5);
}

/** What {@link patchUnformed} makes of the sites, whatever the processors. */
function loaderChanges({ sites: { lockPrefixes = [], ftrace = [] } = {} }: ModuleImage) {
  return [
    ...lockPrefixes.map((offset) => ({ offset, bytes: DS_PREFIX })),
    ...ftrace.map((offset) => ({ offset, bytes: NOP5 })),
  ];
}

/** Patches by their offsets in the text. */
function offsets(areas: ReadonlyMap<ModuleMemory, VmArea>, patches: readonly TextPatch[]) {
  const text = areas.get('text');
  const start = text === undefined ? 0n : virtualAddressOf(text.start);
  return patches.map(({ address, bytes }) => ({ offset: Number(address - start), bytes }));
}

/** What {@link patchComing} makes of the sites. */
function comingPatches({ image }: ModulesState, { jumpLabels, staticCalls }: Places): TextPatch[] {
  return [...staticKeyPatches(jumpLabels, true), ...staticCallPatches(staticCalls, image.address('_text'))];
}

/** MODULE_STATE_COMING: text is read-only by now. First jump labels, in batches, then static calls, each for itself. */
function patchComing(kernel: ModulesState, { jumpLabels, staticCalls }: Places): void {
  setStaticKey(kernel, jumpLabels, true);
  updateStaticCall(kernel, staticCalls, kernel.image.address('_text'));
}

/** `module_enable_ro`. */
function enableRo(kernel: ModulesState, areas: ReadonlyMap<ModuleMemory, VmArea>, afterInit: boolean): void {
  if (!kernel.parameters.rodata) return;
  for (const type of READ_ONLY) change(kernel, areas, type, setMemoryRo);
  if (afterInit) change(kernel, areas, 'ro_after_init', setMemoryRo);
}

function change(
  kernel: ModulesState,
  areas: ReadonlyMap<ModuleMemory, VmArea>,
  type: ModuleMemory,
  set: typeof setMemoryRo,
): void {
  const area = areas.get(type);
  if (area !== undefined) set(kernel, area.start, area.pages);
}

/** `module_memfree` for each of `types`. */
function freeAreas(
  kernel: ModulesState,
  areas: Map<ModuleMemory, VmArea>,
  types: readonly ModuleMemory[],
): void {
  for (const type of types) {
    const area = areas.get(type);
    if (area === undefined) continue;
    vfree(kernel, area);
    areas.delete(type);
  }
}
