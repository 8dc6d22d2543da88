import type { FindingKind } from '../finding.ts';
import { MIXED_LARGE_PAGE, STALE_READ_ONLY } from './aliases.ts';
import { CODE_OUTSIDE_DIRECT_MAP } from './code-outside-direct-map.ts';
import { RODATA_WRITABLE, TEXT_WRITABLE } from './constants-writable.ts';
import { CODE_DIFFERS, CONSTANTS_DIFFER } from './contents-differ.ts';
import { DESCRIPTOR_STRANGE, TSS_STACK } from './descriptors.ts';
import { RAM_OUTSIDE_DIRECT_MAP } from './direct-map-holes.ts';
import { ENTRY_AREA_REMAPPED } from './entry-area-remapped.ts';
import { EXECUTABLE_OUTSIDE_TEXT } from './executable-outside-text.ts';
import { FIXMAP_RAM } from './fixmap-ram.ts';
import { DESCRIPTOR_TABLES_WRITABLE, GDT_ELSEWHERE, GDT_WRITABLE } from './gdt.ts';
import { GLOBAL_UNDER_ISOLATION } from './global-under-isolation.ts';
import { MAPPED_IN_HOLE } from './holes.ts';
import { IDT_ELSEWHERE, IDT_GATE, IDT_GATE_OPEN, IDT_WRITABLE } from './idt.ts';
import { FOREIGN_ROOT, KERNEL_HALF_DIFFERS } from './kernel-half.ts';
import { KPROBE } from './kprobe.ts';
import { LEAF_DISAGREES } from './leaf-disagrees.ts';
import { FUNCTION_TRACED, STATIC_CALL_UPDATED } from './led-elsewhere.ts';
import { MODULE_REMAPPED } from './module-remapped.ts';
import {
  PAGE_TABLE_ALIAS,
  PAGE_TABLE_LINKED_TWICE,
  PAGE_TABLE_OUTSIDE_DIRECT_MAP,
  PAGE_TABLE_READ_ONLY,
} from './page-tables.ts';
import { READ_ONLY_ALONE } from './read-only-alone.ts';
import { PROTECTION_OFF } from './registers.ts';
import { DIRECT_MAP_REMAPPED, IMAGE_REMAPPED } from './remapped.ts';
import { TABLES_ABSENT } from './tables-absent.ts';
import { UNENCRYPTED } from './unencrypted.ts';
import { UNLISTED_CODE } from './unlisted-code.ts';
import { USER_ACCESSIBLE } from './user-accessible.ts';
import { PROGRAM_MAPS_KERNEL, SUPERVISOR_IN_USER_HALF } from './user-half.ts';
import { USER_HALF_EXECUTABLE } from './user-half-executable.ts';
import { USER_TABLES_SHOW_MORE } from './user-tables.ts';
import { VMALLOC_REMAPPED } from './vmalloc-remapped.ts';
import { VMEMMAP_REMAPPED } from './vmemmap-remapped.ts';
import { WX_ALIAS } from './wx-alias.ts';
import { WX_MAPPING } from './wx-mapping.ts';

/** Every kind of finding. */
export const FINDING_KINDS: readonly FindingKind[] = [
  TABLES_ABSENT,
  WX_MAPPING,
  WX_ALIAS,
  TEXT_WRITABLE,
  RODATA_WRITABLE,
  IMAGE_REMAPPED,
  DIRECT_MAP_REMAPPED,
  MODULE_REMAPPED,
  VMALLOC_REMAPPED,
  VMEMMAP_REMAPPED,
  ENTRY_AREA_REMAPPED,
  FIXMAP_RAM,
  CODE_DIFFERS,
  CONSTANTS_DIFFER,
  KPROBE,
  FUNCTION_TRACED,
  STATIC_CALL_UPDATED,
  READ_ONLY_ALONE,
  EXECUTABLE_OUTSIDE_TEXT,
  CODE_OUTSIDE_DIRECT_MAP,
  UNLISTED_CODE,
  MAPPED_IN_HOLE,
  USER_ACCESSIBLE,
  PROGRAM_MAPS_KERNEL,
  SUPERVISOR_IN_USER_HALF,
  KERNEL_HALF_DIFFERS,
  USER_TABLES_SHOW_MORE,
  USER_HALF_EXECUTABLE,
  GLOBAL_UNDER_ISOLATION,
  FOREIGN_ROOT,
  PAGE_TABLE_ALIAS,
  PAGE_TABLE_LINKED_TWICE,
  PAGE_TABLE_OUTSIDE_DIRECT_MAP,
  PAGE_TABLE_READ_ONLY,
  IDT_WRITABLE,
  IDT_ELSEWHERE,
  IDT_GATE,
  IDT_GATE_OPEN,
  GDT_WRITABLE,
  GDT_ELSEWHERE,
  DESCRIPTOR_STRANGE,
  TSS_STACK,
  DESCRIPTOR_TABLES_WRITABLE,
  PROTECTION_OFF,
  UNENCRYPTED,
  LEAF_DISAGREES,
  RAM_OUTSIDE_DIRECT_MAP,
  MIXED_LARGE_PAGE,
  STALE_READ_ONLY,
];
