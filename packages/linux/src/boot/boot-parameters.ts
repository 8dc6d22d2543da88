/** What the kernel's command line says to this model. Heki's own parameters are read by `@heki/guest`. */
export interface KernelParameters {
  /** `nokaslr`. */
  readonly kaslr: boolean;
  /** `rodata=off`: nothing becomes read-only. */
  readonly rodata: boolean;
  /** `pti=on`: freed parts of the image also leave its mapping. Default off, as on processors that need no such thing. */
  readonly pti: boolean;
}

/** Reads a kernel command line; the last of several counts, and what makes no sense changes nothing. */
export function parseCommandLine(commandLine: string): KernelParameters {
  let kaslr = true;
  let rodata = true;
  let pti = false;
  for (const word of commandLine.split(/\s+/)) {
    if (word === 'nokaslr') kaslr = false;
    if (word === 'rodata=off' || word === 'rodata=on') rodata = word === 'rodata=on';
    if (word === 'pti=on' || word === 'pti=off') pti = word === 'pti=on';
    if (word === 'nopti') pti = false;
  }
  return { kaslr, rodata, pti };
}
