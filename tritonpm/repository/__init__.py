"""Package + Settings + Target → ModelConfig and files; lint; publish. Pure but for publish."""
