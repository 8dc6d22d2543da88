/** What the kernel's command line says to this model. Heki's own parameters are read by `@heki/guest`. */
export interface KernelParameters {
  /** `nokaslr`. */
  readonly kaslr: boolean;
  /** `rodata=off`: nothing becomes read-only. */
  readonly rodata: boolean;
  /** `pti=on`: freed parts of the image also leave its mapping. Default off, as on processors that need no such thing. */
  readonly pti: boolean;
  /** `nosmp` and `maxcpus=`: how many processors boot starts, itself included. */
  readonly maxProcessors: number;
}

/** Reads a kernel command line; the last of several counts, and what makes no sense changes nothing. */
export function parseCommandLine(commandLine: string): KernelParameters {
  let kaslr = true;
  let rodata = true;
  let pti = false;
  let maxProcessors = Number.POSITIVE_INFINITY;
  for (const word of commandLine.split(/\s+/)) {
    if (word === 'nokaslr') kaslr = false;
    if (word === 'rodata=off' || word === 'rodata=on') rodata = word === 'rodata=on';
    if (word === 'pti=on' || word === 'pti=off') pti = word === 'pti=on';
    if (word === 'nopti') pti = false;
    if (word === 'nosmp') maxProcessors = 1;
    const [, count] = /^maxcpus=(\d+)$/.exec(word) ?? [];
    if (count !== undefined) maxProcessors = Math.max(1, Number(count));
  }
  return { kaslr, rodata, pti, maxProcessors };
}
