import tseslint from "typescript-eslint";

const pureForbidden = [
  "node:*",
  "@grpc/*",
  "nats",
  "@tensorflow/*",
  "pino",
  "sharp",
  "**/engine/*",
  "**/data/*",
  "**/wire/*",
  "**/link/*",
  "**/process/*",
  "**/store/*",
];

export default tseslint.config(
  { ignores: ["dist", "proto/gen", "node_modules", "**/*.mjs", "*.js", "*.config.ts"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/no-confusing-void-expression": [
        "error",
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "max-lines": ["error", { max: 400 }],
      "max-lines-per-function": ["error", { max: 70 }],
      "no-console": "error",
      "no-restricted-syntax": [
        "error",
        { selector: "ExportDefaultDeclaration", message: "Named exports only." },
        {
          selector:
            ":not(TaggedTemplateExpression) > TemplateLiteral[expressions.length>0] > TemplateElement[value.raw=/bitfleet [a-z]+ [^:]*$/][tail=false]",
          message: "A command to copy is made by shell`...`, which quotes what is put in.",
        },
      ],
    },
  },
  {
    // What decides is pure: no clock, randomness, sockets, files, TensorFlow or logger.
    files: ["src/{bit,job,plan,control,exchange}/**"],
    rules: {
      "no-restricted-imports": ["error", { patterns: pureForbidden }],
      "no-restricted-globals": [
        "error",
        "Date",
        "performance",
        "process",
        "Buffer",
        "setTimeout",
        "setInterval",
        "setImmediate",
      ],
      "no-restricted-properties": [
        "error",
        { object: "Math", property: "random", message: "Pass a seeded Random." },
      ],
    },
  },
  {
    files: ["src/**"],
    ignores: ["src/{bit,job,plan,control,exchange}/**", "src/link/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: ["@grpc/*", "nats", "**/coordinator/**", "**/worker/**"] },
      ],
    },
  },
  {
    files: ["coordinator/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: ["**/worker/**", "@tensorflow/*", "@grpc/*", "nats"] },
      ],
    },
  },
  {
    files: ["worker/**"],
    rules: {
      "no-restricted-imports": ["error", { patterns: ["**/coordinator/**", "@grpc/*", "nats"] }],
    },
  },
  {
    files: ["test/**"],
    rules: {
      "max-lines-per-function": "off",
      "no-console": "off",
      "@typescript-eslint/require-await": "off",
    },
  },
);
