import type { FindingKind } from '../finding.ts';
import { MIXED_LARGE_PAGE, STALE_READ_ONLY } from './aliases.ts';
import { RODATA_WRITABLE, TEXT_WRITABLE } from './constants-writable.ts';
import { DESCRIPTOR_TABLES_WRITABLE, IDT_ELSEWHERE, IDT_WRITABLE } from './descriptor-tables.ts';
import { RAM_OUTSIDE_DIRECT_MAP } from './direct-map-holes.ts';
import { EXECUTABLE_OUTSIDE_TEXT } from './executable-outside-text.ts';
import { KERNEL_HALF_DIFFERS } from './kernel-half.ts';
import { LEAF_DISAGREES } from './leaf-disagrees.ts';
import { PAGE_TABLE_ALIAS, PAGE_TABLE_READ_ONLY } from './page-tables.ts';
import { PROTECTION_OFF } from './registers.ts';
import { DIRECT_MAP_REMAPPED, IMAGE_REMAPPED } from './remapped.ts';
import { TABLES_ABSENT } from './tables-absent.ts';
import { USER_ACCESSIBLE } from './user-accessible.ts';
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
  EXECUTABLE_OUTSIDE_TEXT,
  USER_ACCESSIBLE,
  KERNEL_HALF_DIFFERS,
  PAGE_TABLE_ALIAS,
  PAGE_TABLE_READ_ONLY,
  IDT_WRITABLE,
  IDT_ELSEWHERE,
  DESCRIPTOR_TABLES_WRITABLE,
  PROTECTION_OFF,
  LEAF_DISAGREES,
  RAM_OUTSIDE_DIRECT_MAP,
  MIXED_LARGE_PAGE,
  STALE_READ_ONLY,
];
