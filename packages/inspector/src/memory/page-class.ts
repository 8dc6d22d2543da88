/** What a frame is, by all its mappings together. The larger, the worse: of several frames in one place the worst is shown. */
export const PageClass = {
  NOT_RAM: 0,
  UNMAPPED: 1,
  DATA: 2,
  CONSTANT: 3,
  CODE: 4,
  WRITABLE_CODE: 5,
} as const;
export type PageClass = (typeof PageClass)[keyof typeof PageClass];

/** In the order of their numbers. */
export const PAGE_CLASSES = [
  { name: 'not-ram', title: 'no RAM' },
  { name: 'unmapped', title: 'not mapped' },
  { name: 'data', title: 'data: written, not executed' },
  { name: 'constant', title: 'constants: neither written nor executed' },
  { name: 'code', title: 'code: executed, not written' },
  { name: 'writable-code', title: 'written and executed' },
] as const;

/** @param rights what the mappings of a frame allow together: `rwx`, `r-x`, ... with `u` behind for user mode */
export function classOfRights(rights: string): PageClass {
  const writable = rights[1] === 'w';
  const executable = rights[2] === 'x';
  if (executable) return writable ? PageClass.WRITABLE_CODE : PageClass.CODE;
  return writable ? PageClass.DATA : PageClass.CONSTANT;
}

/** The worse of two. */
export function worseOf(a: PageClass, b: PageClass): PageClass {
  return a > b ? a : b;
}
