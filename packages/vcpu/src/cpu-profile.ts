/** The processor's features; the rules of paging and control registers look at it. */
export type CpuProfile = object;
