export { readBtf } from './btf/read-btf.ts';
export { SymbolError } from './error.ts';
export { findKallsyms } from './kallsyms/find-kallsyms.ts';
export { type MemorySymbols, readImageSymbols } from './kallsyms/image-symbols.ts';
export type { KallsymsPlace } from './kallsyms/kallsyms-place.ts';
export { readKallsyms } from './kallsyms/read-kallsyms.ts';
export { type KaslrOffset, kaslrOffset } from './kaslr.ts';
export {
  createKernelNames,
  type KernelNames,
  type NamedSymbol,
  type NameEvidence,
  PLACE_REGIONS,
  type Place,
  type PlacedPages,
} from './kernel-names.ts';
export { createKernelStructs, type KernelStructs } from './kernel-structs.ts';
export { type CodeAreas, type GeneratedCode, readCodeAreas, type VmallocArea } from './modules/code-areas.ts';
export {
  type KernelModule,
  MODULE_PART_KINDS,
  type ModulePart,
  type ModulePartKind,
  type ModuleSection,
} from './modules/kernel-module.ts';
export { type BpfCode, type BrokenList, type LoadedCode, readLoadedCode } from './modules/read-modules.ts';
export { readCapabilities } from './read-capabilities.ts';
export { parseSymbolExpression, type SymbolExpression } from './symbol-expression.ts';
export { type KernelSymbol, type SymbolPlace, type SymbolTable, symbolTableOf } from './symbol-table.ts';
export { parseSystemMap } from './system-map.ts';
