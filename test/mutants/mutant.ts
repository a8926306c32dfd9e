/** A protection, and how it is taken out. */
export interface Mutant {
  /** What is missing then, in a few words. */
  readonly name: string;
  /** Where the protection comes from: a section of a specification, a security advisory of Xen, a rule of our own. */
  readonly source: string;
  /** The file that has it, and the piece of its text, which occurs there once. */
  readonly file: string;
  readonly find: string;
  readonly put: string;
  /** Files of tests; one of them has a test that fails without the protection. */
  readonly tests: readonly string[];
  /** A regular expression for the names of those tests, where the others of their files take too long. */
  readonly named?: string;
  /** What has to be built before the tests see it: the addon, or the bundle that processes start from. */
  readonly build?: 'native' | 'bundle';
}
