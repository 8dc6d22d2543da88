import { PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { KernelState } from '../kernel-state.ts';
import { setMemoryNx, setMemoryRo, setMemoryX } from '../mm/set-memory.ts';
import { moduleAlloc, type VmArea, vfree } from '../mm/vmalloc.ts';
import { Errno, fail, KernelStop } from '../outcome.ts';
import { updateStaticCall } from '../static-branches/static-branches.ts';

/** The kinds of memory of a module (`enum mod_mem_type`, 6.4), in the order of their allocation. */
export const MODULE_MEMORY = [
  'text',
  'data',
  'rodata',
  'ro_after_init',
  'init_text',
  'init_data',
  'init_rodata',
] as const;

/** One of {@link MODULE_MEMORY}. */
export type ModuleMemory = (typeof MODULE_MEMORY)[number];

/** A module as the loader gets it, relocated. */
export interface ModuleImage {
  readonly name: string;
  /** The bytes of each kind of memory that the module has; at least one byte each. */
  readonly memory: { readonly [type in ModuleMemory]?: Uint8Array };
  /** Offsets in `text` of static calls, five bytes each, which are pointed at their targets when the module comes. */
  readonly staticCalls?: readonly number[];
}

/** A module in the kernel. */
export interface LoadedModule {
  readonly name: string;
  /** Where each kind of memory lies, as long as it is there: init memory goes after init. */
  readonly memory: ReadonlyMap<ModuleMemory, { readonly address: VirtualAddress; readonly pages: number }>;
}

/** A module and its areas. */
export interface ModuleState {
  readonly module: LoadedModule;
  readonly areas: Map<ModuleMemory, VmArea>;
}

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
  kernel: KernelState,
  modules: Map<string, ModuleState>,
  image: ModuleImage,
): LoadedModule {
  const { name, memory } = image;
  if (modules.has(name)) return fail(Errno.EEXIST, `module ${name} is loaded already`);
  const types = MODULE_MEMORY.filter((type) => (memory[type]?.length ?? 0) > 0);
  if (types.length === 0) return fail(Errno.ENOEXEC, `module ${name} has nothing in it`);

  const areas = new Map<ModuleMemory, VmArea>();
  try {
    for (const type of types) {
      const bytes = memory[type] ?? new Uint8Array();
      const area = moduleAlloc(kernel, Math.ceil(bytes.length / PAGE_SIZE));
      areas.set(type, area);
      kernel.memory.store(virtualAddressOf(area.start), bytes);
    }
    kernel.emit({ type: 'module', name, step: 'allocated' });
    completeFormation(kernel, areas);
    kernel.emit({ type: 'module', name, step: 'formed' });
    patchStaticCalls(kernel, areas.get('text'), image.staticCalls ?? []);
    const init = areas.get('init_text');
    if (init !== undefined) kernel.memory.fetch(virtualAddressOf(init.start), 1);
    enableRo(kernel, areas, true);
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') freeAreas(kernel, areas, FREED);
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
  modules.set(name, { module, areas });
  kernel.emit({ type: 'module', name, step: 'live' });
  freeAreas(kernel, areas, INIT);
  kernel.emit({ type: 'module', name, step: 'init-freed' });
  return module;
}

/** `free_module`. @throws {KernelStop} -ENOENT, or Heki's refusal */
export function unloadModule(kernel: KernelState, modules: Map<string, ModuleState>, name: string): void {
  const state = modules.get(name);
  if (state === undefined) fail(Errno.ENOENT, `no module ${name}`);
  freeAreas(kernel, state.areas, FREED);
  modules.delete(name);
  kernel.emit({ type: 'module', name, step: 'unloaded' });
}

/** `complete_formation`: read-only what is, then no execution of data, then execution of text. */
function completeFormation(kernel: KernelState, areas: ReadonlyMap<ModuleMemory, VmArea>): void {
  enableRo(kernel, areas, false);
  for (const type of DATA) change(kernel, areas, type, setMemoryNx);
  for (const type of TEXT) change(kernel, areas, type, setMemoryX);
}

/** `static_call_module_notify` of MODULE_STATE_COMING: text is read-only by now, so each site takes three pokes. */
function patchStaticCalls(kernel: KernelState, text: VmArea | undefined, offsets: readonly number[]): void {
  if (text === undefined || offsets.length === 0) return;
  const sites = offsets.map((offset) => (virtualAddressOf(text.start) + BigInt(offset)) as VirtualAddress);
  updateStaticCall(kernel, sites, kernel.image.address('_text'));
}

/** `module_enable_ro`. */
function enableRo(kernel: KernelState, areas: ReadonlyMap<ModuleMemory, VmArea>, afterInit: boolean): void {
  if (!kernel.parameters.rodata) return;
  for (const type of READ_ONLY) change(kernel, areas, type, setMemoryRo);
  if (afterInit) change(kernel, areas, 'ro_after_init', setMemoryRo);
}

function change(
  kernel: KernelState,
  areas: ReadonlyMap<ModuleMemory, VmArea>,
  type: ModuleMemory,
  set: typeof setMemoryRo,
): void {
  const area = areas.get(type);
  if (area !== undefined) set(kernel, area.start, area.pages);
}

/** `module_memfree` for each of `types`. */
function freeAreas(
  kernel: KernelState,
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
