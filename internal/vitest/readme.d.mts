export declare function readmeOutput(url: string): string;
export declare function outputOf(program: () => Promise<unknown>): Promise<string>;
