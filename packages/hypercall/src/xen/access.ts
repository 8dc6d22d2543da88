/** Access types of a page, `xenmem_access_t` (xen/include/public/memory.h). */
export const XenAccess = {
  N: 0,
  R: 1,
  W: 2,
  RW: 3,
  X: 4,
  RX: 5,
  WX: 6,
  RWX: 7,
  /** Read and execute; the first write makes it {@link RW}. */
  RX2RW: 8,
  /** Nothing; the first access makes it {@link RWX} and is reported, but the virtual CPU is not paused. */
  N2RWX: 9,
  /** The default of the domain or the view. Only in requests. */
  DEFAULT: 10,
} as const;

/** A value of {@link XenAccess} that a page can have. */
export type XenAccessType = Exclude<(typeof XenAccess)[keyof typeof XenAccess], 10>;

const NAMES = ['n', 'r', 'w', 'rw', 'x', 'rx', 'wx', 'rwx', 'rx2rw', 'n2rwx', 'default'];

/** An access type as Xen names it: `rx`, `n2rwx`; the number for an unknown value. */
export function xenAccessText(access: number): string {
  return NAMES[access] ?? String(access);
}

/** Whether `value` is an access type that a page can have. */
export function isXenAccessType(value: number): value is XenAccessType {
  return Number.isInteger(value) && value >= 0 && value < XenAccess.DEFAULT;
}
