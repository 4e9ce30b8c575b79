"""The five source datasets in their official files, each to annotated frames; and conversations about pictures."""
