export type { XenDomain, XenViews } from './domain.ts';
export type { XenEvent } from './event.ts';
export type { XenOptions } from './options.ts';
export type { AccessResult } from './p2m/p2m.ts';
export type { XenStatistics } from './statistics.ts';
export { createXen, type Xen } from './xen.ts';
