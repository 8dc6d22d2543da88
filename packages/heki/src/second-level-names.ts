/** What each vendor calls the second level of translation, and the means in it to take execution from the kernel alone. */
export const SECOND_LEVEL_NAMES = {
  intel: { name: 'EPT', control: 'MBEC' },
  amd: { name: 'nested paging', control: 'GMET' },
} as const;
