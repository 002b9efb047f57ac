// A plugin for clang-tidy-19. It shows the checks only the declarations of our own files: walking all of Boost and of
// the standard library again for each source takes five times as long, and what is found there is thrown away.
// (clang-tidy 21 does this itself.) The compiler's warnings and the static analyzer are not touched by it.
#include <clang/AST/ASTConsumer.h>
#include <clang/AST/ASTContext.h>
#include <clang/Basic/SourceManager.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/FrontendPluginRegistry.h>

#include <memory>
#include <string>
#include <vector>

namespace {

class narrow_scope : public clang::ASTConsumer {
public:
    void HandleTranslationUnit(clang::ASTContext& context) override {
        const clang::SourceManager& sources = context.getSourceManager();
        std::vector<clang::Decl*> own;
        for (clang::Decl* each : context.getTranslationUnitDecl()->decls()) {
            const auto where = sources.getExpansionLoc(each->getLocation());
            if (where.isValid() && !sources.isInSystemHeader(where)) {
                own.push_back(each);
            }
        }
        context.setTraversalScope(own);
    }
};

// Before clang-tidy's own consumer, which then finds the scope narrowed.
class own_code : public clang::PluginASTAction {
    std::unique_ptr<clang::ASTConsumer> CreateASTConsumer(clang::CompilerInstance&,
                                                          llvm::StringRef) override {
        return std::make_unique<narrow_scope>();
    }
    bool ParseArgs(const clang::CompilerInstance&, const std::vector<std::string>&) override {
        return true;
    }
    ActionType getActionType() override { return AddBeforeMainAction; }
};

const clang::FrontendPluginRegistry::Add<own_code> registered("insula-own-code",
                                                              "only what is ours");

}  // namespace
